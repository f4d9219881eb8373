package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// New makes a Server that holds calls back until Ready.
func New(config Config) *Server {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	s := &Server{config: config, limits: newLimits(config), ready: make(chan struct{}), asking: make(chan struct{}, 1)}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.plugin = s.newEndpoint(config.Plugin, map[string]handler{
		"/create":  s.create(interlink.DecodeCreate, &s.pluginEars),
		"/status":  s.statusOrPing,
		"/delete":  s.delete,
		"/getLogs": s.logs,
	})
	s.interlink = s.newEndpoint(config.Interlink, map[string]handler{
		"/create":      s.create(interlink.DecodePodCreate, &s.interlinkEars),
		"/status":      s.status,
		"/delete":      s.delete,
		"/getLogs":     s.logs,
		"/pinglink":    s.pinglink,
		"/updateCache": updateCache,
	})
	// A Virtual Kubelet makes a new connection for each call by TLS, and leaves the last one
	// open (protocol 1.6): two hundred a second with a thousand pods.
	s.interlink.http.SetKeepAlivesEnabled(config.Interlink.TLS == nil)
	return s
}

// updateCache is called for a pod that the Virtual Kubelet does not know any more. Its
// status comes from no cache here.
func updateCache(w http.ResponseWriter, _ *http.Request) error {
	_, err := fmt.Fprintln(w, "there is no cache")
	return gone(err)
}

// healthz answers a process that lives: one that can take connections and, once
// there are pods, ask them.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if err := s.Alive(r.Context()); err != nil {
		return // the caller is gone
	}
	fmt.Fprintln(w, "ok")
}
