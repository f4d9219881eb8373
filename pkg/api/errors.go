package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

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

func malformed(err error) error {
	return fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, err)
}

// gone makes a failed write to the caller what it is: the caller left.
func gone(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", context.Canceled, err)
	}
	return nil
}
