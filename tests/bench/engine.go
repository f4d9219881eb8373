package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// caller makes HTTP calls to one server, with connections kept open: the plain
// engine's figures must not contain what a client library adds.
type caller struct {
	name string
	http *kit.Caller
}

// newCaller speaks to unix:///path or tcp://host:port.
func newCaller(name, host string) (*caller, error) {
	c, err := kit.Dial(host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// What compression costs is no part of a figure.
	c.HTTP.Transport.(*http.Transport).DisableCompression = true
	return &caller{name: name, http: c}, nil
}

func (c *caller) close() { c.http.Close() }

// send returns the answer of a call that succeeded; its body must be closed.
func (c *caller) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	answer, err := c.http.Stream(ctx, method, path, body, map[string]string{"Content-Type": contentType})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	if answer.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<12))
		answer.Body.Close()
		return nil, &refusal{code: answer.StatusCode, text: fmt.Sprintf("%s: %s %s: %s: %s", c.name, method, path, answer.Status, bytes.TrimSpace(text))}
	}
	return answer, nil
}

// refusal is an answer that is not a success.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

// call sends JSON, reads the whole answer, and decodes it into out unless nil.
func (c *caller) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	var err error
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the call %s %s: %w", method, path, err)
		}
	}
	return c.raw(ctx, method, path, body, out)
}

// raw is call with a body that has been encoded before, outside the measured time.
func (c *caller) raw(ctx context.Context, method, path string, body []byte, out any) error {
	answer, err := c.send(ctx, method, path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("%s: read the answer to %s: %w", c.name, path, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s: answer to %s: %w", c.name, path, err)
	}
	return nil
}

// drain reads a whole answer and returns its length.
func (c *caller) drain(ctx context.Context, method, path string, body []byte) (int64, error) {
	answer, err := c.send(ctx, method, path, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil {
		return n, fmt.Errorf("%s: read the answer to %s: %w", c.name, path, err)
	}
	return n, nil
}

// plain is a container on the plain engine that does what a pod of this bench does.
type plain struct {
	Image      string            `json:"Image"`
	Cmd        []string          `json:"Cmd"`
	Labels     map[string]string `json:"Labels"`
	HostConfig plainHost         `json:"HostConfig"`
}

type plainHost struct {
	NetworkMode string   `json:"NetworkMode"`
	Binds       []string `json:"Binds"`
}

// startPlain creates and starts a container and returns its id.
func (b *bench) startPlain(ctx context.Context, image, network string, command []string) (string, error) {
	var created struct{ ID string }
	err := b.engine.call(ctx, http.MethodPost, "/containers/create", plain{Image: image, Cmd: command,
		Labels:     map[string]string{plainLabel: b.instance},
		HostConfig: plainHost{NetworkMode: network, Binds: []string{b.signals.dir + ":" + signalMount}}}, &created)
	if err != nil {
		return "", err
	}
	return created.ID, b.engine.call(ctx, http.MethodPost, "/containers/"+created.ID+"/start", nil, nil)
}

// plainLabel marks the containers that the bench itself makes.
const plainLabel = "docker-sd.bench"

func (b *bench) removePlain(ctx context.Context, id string) error {
	return b.engine.call(ctx, http.MethodDelete, "/containers/"+id+"?force=1&v=1", nil, nil)
}

type listed struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Labels map[string]string
}

// standby says whether the container is a sandbox without a running engine.
func (c listed) standby() bool {
	return len(c.Names) > 0 && strings.HasSuffix(c.Names[0], "_standby")
}

// holder says whether the container only holds a sandbox's network.
func (c listed) holder() bool {
	_, holds := c.Labels[holderLabel]
	return holds
}

// containers lists what carries the label, running or not.
func (b *bench) containers(ctx context.Context, label string) ([]listed, error) {
	filter, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, err
	}
	var out []listed
	err = b.engine.call(ctx, http.MethodGet, "/containers/json?all=1&filters="+url.QueryEscape(string(filter)), nil, &out)
	return out, err
}

// networks lists the ids of the networks that carry the label.
func (b *bench) networks(ctx context.Context, label string) ([]string, error) {
	filter, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, err
	}
	var found []struct {
		ID string `json:"Id"`
	}
	if err := b.engine.call(ctx, http.MethodGet, "/networks?filters="+url.QueryEscape(string(filter)), nil, &found); err != nil {
		return nil, err
	}
	var out []string
	for _, n := range found {
		out = append(out, n.ID)
	}
	return out, nil
}

// importImage makes an image of one layer from a tar stream. The engine reports
// a failure inside a stream that began with status 200.
func (b *bench) importImage(ctx context.Context, repo, tag string, layer io.Reader) error {
	query := url.Values{"fromSrc": {"-"}, "repo": {repo}, "tag": {tag}}
	answer, err := b.engine.send(ctx, http.MethodPost, "/images/create?"+query.Encode(), "application/x-tar", layer)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && strings.Contains(string(text), `"error"`) {
		err = fmt.Errorf("import image %s:%s: %s", repo, tag, text)
	}
	return err
}

// removeImage removes what importImage made, also after the end of the run.
func (b *bench) removeImage(ctx context.Context, ref string) error {
	return b.engine.call(context.WithoutCancel(ctx), http.MethodDelete, "/images/"+url.PathEscape(ref)+"?force=1", nil, nil)
}
