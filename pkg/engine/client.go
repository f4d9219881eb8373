package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// callTimeout bounds calls that an engine in good health answers in
// milliseconds; creating a container on a loaded disk is the slowest of them.
const callTimeout = 60 * time.Second

// pingTimeout is shorter: whoever pings wants to know now.
const pingTimeout = 5 * time.Second

// Client speaks to one engine: the host's, or the one in a sandbox. Safe for
// concurrent use. Errors carry containerd/errdefs classes.
type Client struct {
	// docker speaks the newest version of the API that the SDK knows. negotiated speaks
	// the engine's version, and is nil until that is known. Neither client changes: the
	// SDK reads its version without a lock while another call negotiates it.
	docker     *client.Client
	negotiated atomic.Pointer[client.Client]
	host       string
	transport  http.RoundTripper
	answers    *byAnswer
	// limit is callTimeout, asked how long one wait lasts before it is asked for
	// again, and quiet how long a transfer may pause.
	limit, asked, quiet time.Duration
}

// Connect makes a client for the engine at host (unix:///path or
// tcp://host:port; "" means the platform's default socket). Nothing is dialled
// yet. The API version is negotiated at the first call, so that engines from
// 20.10 on are understood. observers are told of every request.
func Connect(host string, observers ...func(Call)) (*Client, error) {
	if host == "" {
		host = client.DefaultDockerHost
	}
	url, err := client.ParseHostURL(host)
	if err != nil {
		return nil, fmt.Errorf("engine address %q: %w: %w", host, errdefs.ErrInvalidArgument, err)
	}
	var network, address string
	switch url.Scheme {
	case "unix":
		network, address = "unix", url.Host+url.Path
	case "tcp":
		network, address = "tcp", url.Host
	default:
		return nil, fmt.Errorf("engine address %q: neither unix nor tcp: %w", host, errdefs.ErrInvalidArgument)
	}
	c := &Client{host: host, limit: callTimeout, asked: waitPeriod, quiet: silenceLimit,
		answers: &byAnswer{transport(network, address), longTransport(network, address), waitTransport(network, address)}}
	c.transport = c.answers
	for _, tell := range observers {
		c.transport = &observed{c.transport, tell}
	}
	if c.docker, err = c.newSDK(); err != nil {
		return nil, fmt.Errorf("engine at %s: %w", host, err)
	}
	return c, nil
}

// newSDK makes a client of the SDK that uses our transport.
func (c *Client) newSDK(options ...client.Opt) (*client.Client, error) {
	ours := &http.Client{Transport: c.answers.usual}
	made, err := client.NewClientWithOpts(append(options, client.WithHost(c.host), client.WithUserAgent("docker-sd"), client.WithHTTPClient(ours))...)
	// After the SDK has kept the transport that it dials hijacked connections with.
	ours.Transport = c.transport
	return made, err
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.answers.long.CloseIdleConnections()
	c.answers.wait.CloseIdleConnections()
	return c.docker.Close()
}

// sdk is the SDK's client for the engine's version of the API. It asks the engine for
// that version at the first call that reaches the engine.
func (c *Client) sdk(ctx context.Context) *client.Client {
	if known := c.negotiated.Load(); known != nil {
		return known
	}
	ping, err := c.docker.Ping(ctx)
	if err != nil {
		return c.docker // the call fails as well, and says why
	}
	fresh, err := c.newSDK(client.WithAPIVersionNegotiation())
	if err != nil {
		return c.docker
	}
	fresh.NegotiateAPIVersionPing(ping)
	c.negotiated.CompareAndSwap(nil, fresh)
	return c.negotiated.Load()
}

// Ping answers nil when the engine does.
func (c *Client) Ping(ctx context.Context) error { return c.pingWithin(ctx, min(c.limit, pingTimeout)) }

// pingWithin is Ping with a limit on the wait.
func (c *Client) pingWithin(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := c.docker.Ping(ctx); err != nil {
		return fmt.Errorf("ping engine: %w", classify(ctx, err))
	}
	return nil
}

// Accepts is nil when the engine takes a new connection and answers on it. An engine that
// is being stopped closes its address first, and goes on answering on the connections
// that it has while it ends its containers. A start that it is given then can leave a
// task behind with which the container never starts again (20.10).
func (c *Client) Accepts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(c.limit, pingTimeout))
	defer cancel()
	fresh := c.answers.usual.Clone()
	fresh.DisableKeepAlives = true // nor does it find one that another call has left
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
	if err != nil {
		return err
	}
	answer, err := fresh.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ping engine: %w", classify(ctx, err))
	}
	return answer.Body.Close()
}

// Info describes the engine and its host.
func (c *Client) Info(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	sdk := c.sdk(ctx)
	info, err := sdk.Info(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("engine info: %w", classify(ctx, err))
	}
	out := Info{
		Version:       info.ServerVersion,
		APIVersion:    sdk.ClientVersion(),
		StorageDriver: info.Driver,
		RootDir:       info.DockerRootDir,
		CPUs:          info.NCPU,
		MemoryBytes:   info.MemTotal,
		LiveRestore:   info.LiveRestoreEnabled,
		CgroupVersion: info.CgroupVersion,
		CgroupDriver:  info.CgroupDriver,
		CDISpecDirs:   info.CDISpecDirs,
		Seccomp:       confines(info.SecurityOptions, "seccomp"),
		AppArmor:      confines(info.SecurityOptions, "apparmor"),
	}
	for name := range info.Runtimes {
		out.Runtimes = append(out.Runtimes, name)
	}
	return out, nil
}

// confines says that an engine's security options have one of that name.
func confines(options []string, name string) bool {
	return slices.ContainsFunc(options, func(option string) bool {
		return option == name || option == "name="+name || strings.HasPrefix(option, "name="+name+",")
	})
}

// NotSent says of an error that the engine was not there to get the request, so
// that it cannot have begun what was asked of it.
func NotSent(err error) bool {
	var dial *net.OpError
	// The SDK turns a refused connection into a sentence and keeps nothing else.
	return errors.As(err, &dial) && dial.Op == "dial" ||
		err != nil && strings.Contains(err.Error(), "Cannot connect to the Docker daemon")
}

// classify gives the class "unavailable" to an engine that is away or does not
// answer in time, which the SDK leaves without one, so that callers can tell it
// from an engine that said no. When the caller's own context has ended, that is
// the error: what broke because of it says nothing. ctx is the caller's or one
// derived from it with the call's own bound.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errSilent) {
		return silent(ctx, err)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var opErr *net.OpError
	if client.IsErrConnectionFailed(err) || errors.As(err, &opErr) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", errdefs.ErrUnavailable, shorten(err))
	}
	return shorten(err)
}
