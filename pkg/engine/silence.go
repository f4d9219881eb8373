package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
)

// Calls without an end of their own, such as reading a log, cannot have a
// deadline. They are ended when the engine owes an answer and stays silent.

// silenceLimit bounds the pauses of a transfer: an engine packs a large image
// for minutes before the first byte of it.
const silenceLimit = 10 * time.Minute

// errSilent is the cause of a context that was ended because the engine stayed silent.
var errSilent = errors.New("the engine did not answer in time")

// silence ends a context when the engine stays silent for limit.
type silence struct {
	limit time.Duration
	timer *time.Timer
}

// listen derives a context that ends when the engine stays silent for limit,
// from now on or from the last heard. The caller must call end.
func listen(ctx context.Context, limit time.Duration) (context.Context, *silence, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &silence{limit: limit, timer: time.AfterFunc(limit, func() { cancel(errSilent) })}
	return ctx, s, func() { s.rest(); cancel(nil) }
}

// heard begins the limit anew.
func (s *silence) heard() { s.timer.Reset(s.limit) }

// rest says that the engine owes nothing.
func (s *silence) rest() { s.timer.Stop() }

// owed is a stream on which the engine owes the next bytes as soon as they are
// asked for.
type owed struct {
	io.Reader
	silence *silence
}

// Read counts only the wait for the engine as silence.
func (o owed) Read(b []byte) (int, error) {
	o.silence.heard()
	// Not between reads: a slow reader is no silent engine.
	defer o.silence.rest()
	return o.Reader.Read(b)
}

// flowing is one of several streams of a transfer, in which any byte is a sign
// of life.
type flowing struct {
	io.Reader
	silence *silence
}

// Read ends the silence with every byte that comes.
func (f flowing) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	f.silence.heard()
	return n, err
}

// silent gives the reason when a call was ended for silence.
func silent(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return fmt.Errorf("%w: %w", errdefs.ErrUnavailable, errSilent)
	}
	return err
}
