package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/connections"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// Config of a Server.
type Config struct {
	Source Source
	// Metrics answers /metrics.
	Metrics http.Handler
	// Usage is what pods use, Resources the same as kubelet's metrics; nil where nothing is
	// measured.
	Usage     func() usage.Report
	Resources http.Handler
	// Hosts are the names under which the server may be asked over TCP.
	Hosts access.Hosts
	// Inside lets the owner of docker-sd into pods; nil is returned while docker-sd starts.
	// Without it there are no such routes.
	Inside func() Inside
	// Status is the HTTP status of an error of Inside.
	Status func(error) int
}

// Server of the admin routes, on any number of listeners.
type Server struct {
	config Config
	http   *http.Server
	inside *insider
}

// Time limits. Every answer but those of Inside is made from memory.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	// maxConnections of one listener; beyond them silent ones make place.
	maxConnections = 1024
)

// New makes a Server.
func New(config Config) *Server {
	s := &Server{config: config, inside: newInsider(config)}
	source := config.Source
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", config.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET "+PathInfo, view(source.Info))
	mux.HandleFunc("GET "+PathPods, view(source.Pods))
	mux.HandleFunc("GET "+PathPool, view(source.Pool))
	mux.HandleFunc("GET "+PathGPUs, view(source.GPUs))
	mux.HandleFunc("GET "+PathEvents, view(source.Events))
	s.routeUsage(mux)
	s.routePages(mux)
	if config.Inside != nil {
		s.inside.handle(mux)
	}
	s.http = &http.Server{Handler: s.guard(mux), ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 16 << 10}
	connections.Watch(s.http)
	return s
}

// Handler answers requests.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Serve answers requests on one listener until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(connections.Listen(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin address: %w", err)
	}
	return nil
}

// Shutdown lets requests end until ctx does, then closes what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.inside.close(ctx)
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// guard refuses what a page from elsewhere makes a browser ask. What is served to
// a browser may load nothing from other places and be shown in no frame.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'") // pages have their own
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if err := s.config.Hosts.Check(r); err != nil {
			http.Error(w, err.Error(), http.StatusMisdirectedRequest)
			return
		}
		if err := access.FromOtherSite(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	troubles := s.config.Source.Troubles()
	if len(troubles) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, trouble := range troubles {
		fmt.Fprintln(w, trouble)
	}
}

// view answers with what get returns, as JSON.
func view[T any](get func() T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(get())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n'))
	}
}
