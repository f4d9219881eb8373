package wstunnel

import (
	"errors"
	"fmt"
)

// Error is why a tunnel failed, in words for the pod's user. It holds no secret.
type Error struct {
	words string
	cause error
}

func (e *Error) Error() string { return e.words }

// Unwrap returns the cause, whose words may hold the path prefix.
func (e *Error) Unwrap() error { return e.cause }

// StatusError is an answer other than the one that opens a tunnel.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return fmt.Sprintf("status %d", e.Status) }

// atProxy marks an error of the proxy's, not of the server's.
type atProxy struct{ error }

func (e *atProxy) Unwrap() error { return e.error }

// errSilent ends a connection whose pings were not answered.
var errSilent = errors.New("no ping was answered")
