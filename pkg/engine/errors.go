package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

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
// the error: a call that broke because of it says nothing new. ctx is the caller's or one
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

// longest is how many bytes of an engine's message are passed on. It repeats names
// and paths that pods choose; one of a deep tree had 50 KB.
const longest = 1024

// brief is an error whose text has its middle left out.
type brief struct{ error }

// Error is the beginning and the end of the text, longest bytes of it.
func (b brief) Error() string {
	text := b.error.Error()
	return text[:longest/2] + " ... " + text[len(text)-longest/2:]
}

// Unwrap gives the error with its whole text, so that its class is kept.
func (b brief) Unwrap() error { return b.error }

// shorten bounds an error's text.
func shorten(err error) error {
	if err == nil || len(err.Error()) <= longest {
		return err
	}
	return brief{err}
}

// RuntimeFails says of an error of Start that no runtime has run: its program, or that of its
// shim, is missing or ends at once. The engine has no class for it and passes on the words of
// containerd. A runtime that has run says what is wrong with the container instead.
func RuntimeFails(err error) bool {
	return err != nil && runtimeFailure.MatchString(err.Error())
}

var runtimeFailure = regexp.MustCompile(`unable to retrieve OCI runtime error|failed to start shim|failed to resolve runtime path`)
