package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/connections"
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
