package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// Client asks a running docker-sd over the socket in its DataRootFolder.
type Client struct {
	path string
	http *http.Client
	// stream is for what takes as long as it takes.
	stream *http.Client
}

// NewClient makes a client for the docker-sd that runs with this DataRootFolder.
func NewClient(dataRootFolder string) *Client {
	path := filepath.Join(dataRootFolder, SocketName)
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
	}
	return &Client{path: path, http: &http.Client{Timeout: 30 * time.Second, Transport: transport}, stream: &http.Client{Transport: transport}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Info says which docker-sd answers.
func (c *Client) Info(ctx context.Context) (Info, error) { return get[Info](ctx, c, PathInfo) }

// errStarting is told apart from an empty answer: what docker-sd has is not lost.
var errStarting = fmt.Errorf("docker-sd is starting and has not looked at its pods and sandboxes yet, ask again in a moment: %w", errdefs.ErrUnavailable)

// Pods lists the pods. It fails with ErrUnavailable while docker-sd starts.
func (c *Client) Pods(ctx context.Context) (Pods, error) {
	pods, err := get[Pods](ctx, c, PathPods)
	if err == nil && pods.Starting {
		err = errStarting
	}
	return pods, err
}

// Pool describes the sandboxes. It fails with ErrUnavailable while docker-sd starts.
func (c *Client) Pool(ctx context.Context) (Pool, error) {
	pool, err := get[Pool](ctx, c, PathPool)
	if err == nil && pool.Starting {
		err = errStarting
	}
	return pool, err
}

// GPUs lists the accelerators.
func (c *Client) GPUs(ctx context.Context) (gpu.Snapshot, error) {
	return get[gpu.Snapshot](ctx, c, PathGPUs)
}

// Events lists the last changes of state, the newest first.
func (c *Client) Events(ctx context.Context) (Events, error) { return get[Events](ctx, c, PathEvents) }

// unreachable says why docker-sd does not answer. ErrUnavailable says that no docker-sd runs
// there, ErrPermissionDenied that it is another user's.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("docker-sd at %s belongs to another user, become that one or root: %w", c.path, errdefs.ErrPermissionDenied)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no docker-sd runs with the admin socket %s: start it, or name its configuration file: %w", c.path, errdefs.ErrUnavailable)
	}
	return fmt.Errorf("ask docker-sd at %s: %w", c.path, err)
}

// maxAnswer bounds the memory for one answer.
const maxAnswer = 64 << 20

// Metrics are all, as Prometheus reads them.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) { return c.fetch(ctx, "/metrics") }

// get asks for one view; see unreachable.
func get[T any](ctx context.Context, c *Client, path string) (out T, err error) {
	body, err := c.fetch(ctx, path)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, fmt.Errorf("docker-sd at %s answered %s with something else than JSON: %w", c.path, path, err)
	}
	return out, nil
}

// fetch is the body of an answer.
func (c *Client) fetch(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask docker-sd at %s: %w", c.path, err)
	}
	switch {
	case response.StatusCode == http.StatusOK:
	case strings.HasPrefix(path, PathPods+"/"):
		return nil, refusal(response.StatusCode, string(body))
	default:
		return nil, fmt.Errorf("docker-sd at %s answered %s with %d: %s", c.path, path, response.StatusCode, strings.TrimSpace(string(body)))
	}
	return body, nil
}
