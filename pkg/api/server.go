// Package api serves the sidecar protocol over HTTP: it decodes, asks the pods,
// and encodes. What a caller may send and what it makes of each answer is in
// docs/interlink-protocol.md 1 to 4.
package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/connections"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// Pods is what the server needs of the pods.
type Pods interface {
	Create(ctx context.Context, pod *v1.Pod, data volumes.Data) (jid string, err error)
	Delete(ctx context.Context, uid types.UID, grace *int64) error
	Status(pod *v1.Pod) (podstatus.Report, bool)
	FindLogs(query podlogs.Query) (*podlogs.Source, error)
	// Count returns how many there are; it blocks for as long as they are stuck.
	Count() int
}

// Observer is told of calls. Its methods must not block.
type Observer interface {
	// Begin is told of a call; the function that it returns is called once, with the
	// code of the answer.
	Begin(r *http.Request, route string) (context.Context, func(code int))
	// About is told which pod the call of ctx is about.
	About(ctx context.Context, podUID string)
}

// unobserved is an Observer that nobody listens to.
type unobserved struct{}

func (unobserved) About(context.Context, string) {}
func (unobserved) Begin(r *http.Request, _ string) (context.Context, func(code int)) {
	return r.Context(), func(int) {}
}

// Config of a Server.
type Config struct {
	// Ping answers an empty status request; it must not block.
	Ping func() interlink.Ping
	// Troubles lists why this node does not work as it should, for /readyz.
	Troubles func() []string
	// Observer is told of calls; nil means nobody is.
	Observer Observer
	// MaxBody bounds a request's body in bytes.
	MaxBody int64
	// MaxFollowers bounds how many logs are followed at a time, MaxCalls how many
	// other calls there are.
	MaxFollowers, MaxCalls int
	// MaxMemory bounds the bytes of all bodies at a time, and those of what they
	// are decoded into; it is never less than MaxBody.
	MaxMemory int64
	// Authorized, if set, decides by the header of that name who may call. The
	// health routes stay open and then say no more than whether all is well.
	Authorized func(header string) bool
	// Hosts, if set, are the names under which the server may be asked over TCP.
	// Where callers have to prove who they are it says no more than that.
	Hosts access.Hosts
	// TLS, if set, is spoken instead of plain HTTP.
	TLS *tls.Config
}

// Server of the four routes.
type Server struct {
	config Config
	limits limits
	http   *http.Server
	// ready is closed once earlier pods have been taken over; pods are there then.
	ready     chan struct{}
	pods      Pods
	readyOnce sync.Once
	// asking holds the one that asks the pods whether they answer.
	asking chan struct{}
	// draining ends followed logs at shutdown; they would hold it up for ever.
	draining context.Context
	drain    context.CancelFunc
}

// Time limits. A caller keeps idle connections for 120 s, so ours live longer:
// a create must not be written to a connection that we are closing (protocol 1.1).
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 60 * time.Second
	idleTimeout   = 150 * time.Second
	// readyTimeout is how long a call waits for recovery; the caller gives up
	// after 120 s.
	readyTimeout = 100 * time.Second
)

// New makes a Server that holds calls back until Ready.
func New(config Config) *Server {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	s := &Server{config: config, limits: newLimits(config), ready: make(chan struct{}), asking: make(chan struct{}, 1)}
	s.draining, s.drain = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	// Any method: interLink itself uses GET with a body and POST (protocol 1.1).
	mux.Handle("/create", s.handle(s.create))
	mux.Handle("/status", s.handle(s.status))
	mux.Handle("/delete", s.handle(s.delete))
	mux.Handle("/getLogs", s.handle(s.logs))
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/readyz", s.readyz)
	s.http = &http.Server{Handler: bounded(mux), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
	connections.Watch(s.http)
	return s
}

// Ready lets calls through to pods: those of an earlier run have been taken over. The
// second call does nothing.
func (s *Server) Ready(pods Pods) {
	s.readyOnce.Do(func() {
		s.pods = pods
		close(s.ready)
	})
}

// Listen binds a TCP address or a unix socket. A socket that nobody serves any
// more is replaced, one that somebody serves is an error; only the owner may
// connect.
func Listen(network, address string) (net.Listener, error) {
	if network == "unix" {
		if err := clearSocket(address); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("protect socket %s: %w", address, err), listener.Close())
		}
	}
	return listener, nil
}

func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket %s: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket: remove it or choose another path", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("another process serves socket %s: stop it or choose another path", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale socket %s: %w", path, err)
	}
	return nil
}

// Serve answers requests until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	l = s.limits.listener(l)
	if s.config.TLS != nil {
		l = tls.NewListener(l, s.config.TLS)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// Shutdown ends followed logs, lets other requests end until ctx does, then
// closes what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// Troubles lists why pods cannot be taken at this moment; none means ready.
func (s *Server) Troubles() []string {
	var troubles []string
	select {
	case <-s.ready:
	default:
		troubles = append(troubles, "still taking over earlier pods")
	}
	return append(troubles, s.config.Troubles()...)
}

// Alive returns nil once the pods have answered, and an error if ctx ends before. It
// asks them as a call would, but not over the address that callers use: that all of
// its connections are taken is nothing that a restart would mend.
func (s *Server) Alive(ctx context.Context) error {
	select {
	case <-s.ready:
	default:
		return nil // there are none yet
	}
	select {
	case s.asking <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("the pods have not answered the last time either: %w", ctx.Err())
	}
	answered := make(chan struct{})
	go func() { // one at a time; it ends when the pods answer
		s.pods.Count()
		<-s.asking
		close(answered)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the pods do not answer: %w", ctx.Err())
	}
}

// healthz answers a process that lives: one that can take connections and, once
// there are pods, ask them.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if err := s.Alive(r.Context()); err != nil {
		return // the caller is gone
	}
	fmt.Fprintln(w, "ok")
}

// readyz is for people and probes; interLink does not call it.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	// People look at it in a browser, too.
	if err := cmp.Or(access.FromOtherSite(r), s.host(r)); err != nil {
		http.Error(w, message(err), statusCode(err))
		return
	}
	troubles := s.Troubles()
	if len(troubles) > 0 && s.config.Authorized != nil && !s.config.Authorized(r.Header.Get("Authorization")) {
		troubles = []string{"not ready; ask with the bearer token for the reasons"}
	}
	if len(troubles) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, trouble := range troubles {
		fmt.Fprintln(w, trouble)
	}
}
