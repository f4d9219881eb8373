package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
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
	docker  *client.Client
	answers *byAnswer
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
	opts := []client.Opt{client.WithHost(host), client.WithAPIVersionNegotiation(), client.WithUserAgent("docker-sd")}
	ours := &http.Client{}
	var network, address string
	switch url.Scheme {
	case "unix":
		network, address = "unix", url.Host+url.Path
	case "tcp":
		network, address = "tcp", url.Host
	}
	if network != "" {
		ours.Transport = transport(network, address)
		opts = append(opts, client.WithHTTPClient(ours))
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("engine at %s: %w", host, err)
	}
	// After the SDK has had its look at what kind of transport it is.
	answers := &byAnswer{ours.Transport, longTransport(network, address), waitTransport(network, address)}
	ours.Transport = answers
	for _, tell := range observers {
		ours.Transport = &observed{ours.Transport, tell}
	}
	return &Client{docker: c, answers: answers, limit: callTimeout, asked: waitPeriod, quiet: silenceLimit}, nil
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.answers.long.CloseIdleConnections()
	c.answers.wait.CloseIdleConnections()
	return c.docker.Close()
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

// Info describes the engine and its host.
func (c *Client) Info(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	info, err := c.docker.Info(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("engine info: %w", classify(ctx, err))
	}
	out := Info{
		Version:       info.ServerVersion,
		APIVersion:    c.docker.ClientVersion(),
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
