package kit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
)

// CallTimeout is how long interLink waits for an answer (protocol 1.1).
const CallTimeout = 120 * time.Second

// Caller makes HTTP calls to one server, a docker-sd or an engine, and keeps connections open.
type Caller struct {
	Base string
	HTTP *http.Client
}

// Dial makes a caller of unix:///path or tcp://host:port. Nothing is dialled yet.
func Dial(address string) (*Caller, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	network, at := target.Scheme, target.Host
	switch network {
	case "unix":
		at = target.Path
	case "tcp":
	default:
		return nil, fmt.Errorf("address %q: unix:///path or tcp://host:port is expected", address)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, at)
		}}
	return &Caller{Base: "http://kit", HTTP: &http.Client{Transport: transport}}, nil
}

// HostEngine is the engine that DOCKER_HOST names, or the machine's own.
func HostEngine() (*Caller, error) {
	return Dial(cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock"))
}

// Unix is Dial for a socket.
func Unix(socket string) *Caller {
	c, err := Dial((&url.URL{Scheme: "unix", Path: socket}).String())
	if err != nil {
		panic(err) // every path is one
	}
	return c
}

// Close drops idle connections.
func (c *Caller) Close() { c.HTTP.CloseIdleConnections() }

// Headers are what the interLink API sends in a session.
func Headers(session string) map[string]string {
	return map[string]string{"Content-Type": "application/json", "InterLink-Http-Session": session}
}

// Send returns the answer with its body unread.
func (c *Caller) Send(ctx context.Context, method, path string, body []byte, headers map[string]string) (*http.Response, error) {
	return c.Stream(ctx, method, path, bytes.NewReader(body), headers)
}

// Stream is Send for a body that is read as it is sent.
func (c *Caller) Stream(ctx context.Context, method, path string, body io.Reader, headers map[string]string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		// Set by hand, this one would keep the client from unpacking the answer.
		if name != "Accept-Encoding" {
			request.Header.Set(name, value)
		}
	}
	return c.HTTP.Do(request)
}

// Call returns the code and the whole text of the answer, which comes in CallTimeout.
func (c *Caller) Call(ctx context.Context, method, path string, body []byte, headers map[string]string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	response, err := c.Send(ctx, method, path, body, headers)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// JSON sends in, unless it is nil, and decodes the answer into out, unless that is nil. A
// code of 300 or more is an error.
func (c *Caller) JSON(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the call %s %s: %w", method, path, err)
		}
	}
	code, text, err := c.Call(ctx, method, path, body, Headers("kit"))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if code >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s was answered with %d: %s", method, path, code, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("%s %s was answered with %.200q: %w", method, path, text, err)
	}
	return nil
}

// RemoveInstance removes all that a docker-sd has left on the host: containers, networks and
// volumes of its engine, and the rules for the networks. What the engine is still removing is
// waited for, as long as ctx lasts.
func RemoveInstance(ctx context.Context, engine *Caller, instance string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := removeAll(ctx, engine, instance)
		if found == 0 && err == nil {
			return firewall.Remove(instance)
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d objects of instance %s are left: %w", found, instance, ctx.Err()), err, firewall.Remove(instance))
		case <-tick.C:
		}
	}
}

// removeAll removes what there is once, and says how much there was.
func removeAll(ctx context.Context, engine *Caller, instance string) (found int, err error) {
	query := "filters=" + url.QueryEscape(fmt.Sprintf(`{"label":["docker-sd.instance=%s"]}`, instance))
	var problems []error
	for _, kind := range []struct{ list, remove, how string }{
		{"/containers/json?all=1&", "/containers/", "?force=1&v=1"}, {"/networks?", "/networks/", ""}} {
		var some []struct{ ID string }
		problems = append(problems, engine.JSON(ctx, http.MethodGet, kind.list+query, nil, &some))
		for _, f := range some {
			problems = append(problems, engine.JSON(ctx, http.MethodDelete, kind.remove+f.ID+kind.how, nil, nil))
		}
		found += len(some)
	}
	var volumes struct{ Volumes []struct{ Name string } }
	problems = append(problems, engine.JSON(ctx, http.MethodGet, "/volumes?"+query, nil, &volumes))
	for _, v := range volumes.Volumes {
		problems = append(problems, engine.JSON(ctx, http.MethodDelete, "/volumes/"+v.Name, nil, nil))
	}
	return found + len(volumes.Volumes), errors.Join(problems...)
}
