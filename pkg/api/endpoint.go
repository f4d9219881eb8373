package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/connections"
)

// endpoint is one address of a server: the routes there, and what callers bring along.
type endpoint struct {
	*Server
	callers Callers
	http    *http.Server
}

// newEndpoint has the health routes beside those for pods.
func (s *Server) newEndpoint(callers Callers, routes map[string]handler) *endpoint {
	e := &endpoint{Server: s, callers: callers}
	mux := http.NewServeMux()
	// Any method: interLink itself uses GET with a body and POST (protocol 1.1).
	for path, h := range routes {
		mux.Handle(path, e.handle(h))
	}
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/readyz", e.readyz)
	e.http = &http.Server{Handler: bounded(mux), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
	connections.Watch(e.http)
	return e
}

func (e *endpoint) serve(l net.Listener) error {
	l = e.limits.listener(l)
	if e.callers.TLS != nil {
		l = tls.NewListener(l, e.callers.TLS)
	}
	if err := e.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func (e *endpoint) shutdown(ctx context.Context) error {
	if err := e.http.Shutdown(ctx); err != nil {
		return e.http.Close()
	}
	return nil
}

// admitted runs a handler for a caller that may call and has its turn.
func (e *endpoint) admitted(h handler, w http.ResponseWriter, r *http.Request) error {
	if !e.authorized(r) {
		return fmt.Errorf("this docker-sd wants a bearer token (BearerTokenFile), and this request has none or another: %w", errdefs.ErrUnauthenticated)
	}
	release, err := e.limits.admit(r)
	if err != nil {
		return err
	}
	defer release()
	return h(w, r)
}

func (e *endpoint) authorized(r *http.Request) bool {
	return e.callers.Authorized == nil || e.callers.Authorized(r.Header.Get("Authorization"))
}

// host checks the name under which a request asks. /healthz alone, which says no
// more than that docker-sd runs, is answered under any.
func (e *endpoint) host(r *http.Request) error {
	if e.callers.Hosts == nil {
		return nil
	}
	return e.callers.Hosts.Check(r)
}

// readyz is for people and probes; interLink does not call it.
func (e *endpoint) readyz(w http.ResponseWriter, r *http.Request) {
	// People look at it in a browser, too.
	if err := cmp.Or(access.FromOtherSite(r), e.host(r)); err != nil {
		http.Error(w, message(err), statusCode(err))
		return
	}
	troubles := e.Troubles()
	if len(troubles) > 0 && !e.authorized(r) {
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
