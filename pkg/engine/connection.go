package engine

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// callTimeout bounds calls that an engine in good health answers in
// milliseconds; creating a container on a loaded disk is the slowest of them.
const callTimeout = 60 * time.Second

// connection is how the parts of a Client reach their engine.
type connection struct {
	// docker speaks the newest version of the API that the SDK knows. negotiated speaks
	// the engine's version, and is nil until that is known. Neither client changes: the
	// SDK reads its version without a lock while another call negotiates it.
	docker     *client.Client
	negotiated atomic.Pointer[client.Client]
	host       string
	// pool has the connections. calls goes through it, and tells the observers.
	pool  *http.Transport
	calls http.RoundTripper
	// limit is callTimeout, and quiet how long a transfer may pause.
	limit, quiet time.Duration
}

// newConnection makes a connection to the engine at host and dials nothing; see Connect.
func newConnection(host string, observers []func(Call)) (*connection, error) {
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
	c := &connection{host: host, limit: callTimeout, quiet: silenceLimit, pool: transport(network, address)}
	c.calls = detached{c.pool}
	for _, tell := range observers {
		c.calls = &observed{c.calls, tell}
	}
	if c.docker, err = c.newSDK(); err != nil {
		return nil, fmt.Errorf("engine at %s: %w", host, err)
	}
	return c, nil
}

// newSDK makes a client of the SDK that uses our connections.
func (c *connection) newSDK(options ...client.Opt) (*client.Client, error) {
	ours := &http.Client{Transport: c.pool}
	made, err := client.NewClientWithOpts(append(options, client.WithHost(c.host), client.WithUserAgent("docker-sd"), client.WithHTTPClient(ours))...)
	// After the SDK has kept the transport that it dials hijacked connections with.
	ours.Transport = c.calls
	return made, err
}

// close drops idle connections.
func (c *connection) close() error {
	c.pool.CloseIdleConnections()
	return c.docker.Close()
}

// sdk is the SDK's client for the engine's version of the API. It asks the engine for
// that version at the first call that reaches the engine.
func (c *connection) sdk(ctx context.Context) *client.Client {
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

// pingWithin is nil when the engine answers a ping within limit.
func (c *connection) pingWithin(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := c.docker.Ping(ctx); err != nil {
		return fmt.Errorf("ping engine: %w", classify(ctx, err))
	}
	return nil
}

// patience is how many times longer a call may take that changes something, for as long
// as the engine answers pings. A slow or busy host takes minutes for the start of a
// container, and the engine goes on with a call that is given up: its result is then
// in the way of the next try, and both make the host slower still.
const patience = 10

// patient derives a context that ends when the engine has taken longer than usual and
// does not answer a ping, and after patience times the limit in any case.
func (c *connection) patient(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(c.limit)
		defer tick.Stop()
		for range patience {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if c.pingWithin(ctx, c.limit) != nil {
				break
			}
		}
		cancel(errSilent)
	}()
	return ctx, func() { cancel(nil); <-over }
}
