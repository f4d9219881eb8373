package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

// Describe says all that is known of a pod.
func (c *Client) Describe(ctx context.Context, uid types.UID) (Description, error) {
	return get[Description](ctx, c, podPath(uid, pathDescribe))
}

func podPath(uid types.UID, path string) string {
	return PathPods + "/" + url.PathEscape(string(uid)) + path
}

// mostCommand is what a command may take in a URL, within the server's limit for headers.
const mostCommand = 12 << 10

// Exec runs a process in a container until it ends, and kills it if ctx ends first. An exit
// code other than 0 is a remotecommand.CodeError.
func (c *Client) Exec(ctx context.Context, uid types.UID, container string, p Process, caller remotecommand.Caller) error {
	query := url.Values{"container": {container}, "command": p.Command}
	if p.TTY {
		query.Set("tty", "true")
	}
	if caller.Stdin != nil {
		query.Set("stdin", "true")
	}
	if len(query.Encode()) > mostCommand {
		return fmt.Errorf("the command has more than %d bytes: pass a script by standard input, as in sh -s <FILE: %w", mostCommand, errdefs.ErrInvalidArgument)
	}
	err := remotecommand.Run(ctx, c.stream, "ws://localhost"+podPath(uid, pathExec)+"?"+query.Encode(), caller)
	if refused, ok := errors.AsType[*remotecommand.RefusedError](err); ok {
		return refusal(refused.Code, refused.Text)
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return c.unreachable(err)
	}
	return err
}

// refusal is the error of an answer. Its text has the name of its class already.
func refusal(code int, text string) error {
	class := error(errdefs.ErrUnknown)
	text = strings.TrimSpace(text)
	if code == http.StatusNotFound && text == "404 page not found" {
		return fmt.Errorf("the docker-sd that runs is of another version and does not know this call: %w", errdefs.ErrNotImplemented)
	}
	switch code {
	case http.StatusNotFound:
		class = errdefs.ErrNotFound
	case http.StatusForbidden:
		class = errdefs.ErrPermissionDenied
	case http.StatusConflict:
		class = errdefs.ErrFailedPrecondition
	case http.StatusBadRequest:
		class = errdefs.ErrInvalidArgument
	case http.StatusServiceUnavailable:
		class = errdefs.ErrUnavailable
	}
	return &answered{text: text, class: class}
}

// answered is an error in the words of docker-sd.
type answered struct {
	text  string
	class error
}

// Error is what docker-sd answered.
func (a *answered) Error() string { return a.text }

// Unwrap gives the class.
func (a *answered) Unwrap() error { return a.class }

// Connect connects to a port of a pod's own loopback interface.
func (c *Client) Connect(ctx context.Context, uid types.UID, port uint16) (relay.Conn, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+podPath(uid, pathPortForward)+"?port="+strconv.Itoa(int(port)), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", portUpgrade)
	dialled, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, c.unreachable(err)
	}
	conn, ok := dialled.(relay.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the connection is %T", dialled), dialled.Close())
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	answer := bufio.NewReader(conn)
	err = request.Write(conn)
	var response *http.Response
	if err == nil {
		response, err = http.ReadResponse(answer, request)
	}
	if err != nil || !stop() {
		return nil, c.unreachable(errors.Join(ctx.Err(), err, conn.Close()))
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // what has come
		_ = response.Body.Close()                                       // with its connection
		return nil, errors.Join(refusal(response.StatusCode, string(text)), conn.Close())
	}
	first, err := answer.Peek(answer.Buffered())
	return relay.After(first, conn), err
}

// archive asks for a call about a path of a container.
func (c *Client) archive(ctx context.Context, method string, uid types.UID, container, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+podPath(uid, pathArchive)+fileQuery(container, path), body)
	if err != nil {
		return nil, err
	}
	response, err := c.stream.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // what has come
	_ = response.Body.Close()                                       // it has been read
	return nil, refusal(response.StatusCode, string(text))
}

// Stat describes a file of a container. ErrNotFound if there is none.
func (c *Client) Stat(ctx context.Context, uid types.UID, container, path string) (FileStat, error) {
	return get[FileStat](ctx, c, podPath(uid, pathStat)+fileQuery(container, path))
}

func fileQuery(container, path string) string {
	return "?" + url.Values{"container": {container}, "path": {path}}.Encode()
}

// ReadFiles is a file of a container, or a folder with all below it, as a tar stream.
func (c *Client) ReadFiles(ctx context.Context, uid types.UID, container, path string) (io.ReadCloser, error) {
	response, err := c.archive(ctx, http.MethodGet, uid, container, path, nil)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// WriteFiles puts the files of a tar stream into a folder of a container.
func (c *Client) WriteFiles(ctx context.Context, uid types.UID, container, folder string, files io.Reader) error {
	response, err := c.archive(ctx, http.MethodPut, uid, container, folder, files)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
