package api

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
)

// handler does one call; a nil error means that it has answered.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle runs a handler with a logger that carries the caller's session, and
// answers its error.
func (e *endpoint) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logger := log.G(r.Context()).WithField("route", r.URL.Path)
		if session := r.Header.Get("InterLink-Http-Session"); session != "" {
			// Escaped, and without the quotes, which the log adds where they are needed.
			quoted := fmt.Sprintf("%.64q", session)
			logger = logger.WithField("session", quoted[1:len(quoted)-1])
		}
		ctx := log.WithLogger(r.Context(), logger)
		ctx, answered := e.config.Observer.Begin(r.WithContext(ctx), r.URL.Path)
		code := http.StatusOK
		// Also when a log is cut off by a panic.
		defer func() { answered(code) }()
		err := cmp.Or(access.FromPage(r), e.host(r))
		if err == nil {
			err = e.admitted(h, w, r.WithContext(ctx))
		}
		if err == nil {
			return
		}
		code = statusCode(err)
		switch logger = logger.WithField("code", code).WithError(err); {
		case code == http.StatusServiceUnavailable:
			logger.Warn("call put off") // the caller asks again
		case code >= http.StatusInternalServerError:
			logger.Error("call failed")
		default:
			logger.Info("call refused")
		}
		if code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		http.Error(w, message(err), code)
	})
}
