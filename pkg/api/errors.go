package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
)

// statusClientGone is what proxies log for a caller that left; nobody reads it.
const statusClientGone = 499

// statusCode is the one place where an error becomes an HTTP status. interLink
// knows 200 and not 200; the rest is for people (protocol 9.5).
func statusCode(err error) int {
	tooLarge := &http.MaxBytesError{}
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, context.Canceled):
		return statusClientGone
	case errdefs.IsUnauthorized(err):
		return http.StatusUnauthorized
	case errors.Is(err, access.ErrForeignHost):
		return http.StatusMisdirectedRequest
	case errdefs.IsPermissionDenied(err):
		return http.StatusForbidden
	case errdefs.IsInvalidArgument(err):
		return http.StatusBadRequest
	case errdefs.IsNotFound(err):
		return http.StatusNotFound
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err), errdefs.IsFailedPrecondition(err):
		return http.StatusConflict
	case errdefs.IsResourceExhausted(err):
		return http.StatusTooManyRequests
	case errdefs.IsUnavailable(err), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// maxErrorText bounds an error's text: it ends up in a pod's status.
const maxErrorText = 2048

// classes are those whose names at the end of an error say nothing to a user that the
// code does not.
var classes = []error{errdefs.ErrInvalidArgument, errdefs.ErrConflict, errdefs.ErrFailedPrecondition, errdefs.ErrResourceExhausted}

// entities are characters that interLink makes entities of HTML of (protocol 1.4),
// and what reads better than that.
var entities = strings.NewReplacer(`"`, "`", "'", "`", "<", "(", ">", ")", "&", "+")

// message is the sentence that kubectl describe will show.
func message(err error) string {
	text := strings.TrimSpace(err.Error())
	for _, class := range classes {
		text = strings.TrimSuffix(text, ": "+class.Error())
	}
	text = entities.Replace(text)
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + " ..."
	}
	return text
}

// handler does one call; a nil error means that it has answered.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle runs a handler with a logger that carries the caller's session, and
// answers its error.
func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logger := log.G(r.Context()).WithField("route", r.URL.Path)
		if session := r.Header.Get("InterLink-Http-Session"); session != "" {
			// Escaped, and without the quotes, which the log adds where they are needed.
			quoted := fmt.Sprintf("%.64q", session)
			logger = logger.WithField("session", quoted[1:len(quoted)-1])
		}
		ctx := log.WithLogger(r.Context(), logger)
		ctx, answered := s.config.Observer.Begin(r.WithContext(ctx), r.URL.Path)
		code := http.StatusOK
		// Also when a log is cut off by a panic.
		defer func() { answered(code) }()
		err := cmp.Or(access.FromPage(r), s.host(r))
		if err == nil {
			err = s.admitted(h, w, r.WithContext(ctx))
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

func (s *Server) admitted(h handler, w http.ResponseWriter, r *http.Request) error {
	release, err := s.limits.admit(r)
	if err != nil {
		return err
	}
	defer release()
	return h(w, r)
}
