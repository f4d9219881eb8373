// Package retry paces a loop that asks somebody who may be away: the waits grow,
// and the log has a line when the trouble begins, changes and ends, not one for
// every try.
package retry

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/containerd/log"
)

// repeatAfter is how long a trouble whose words change stays one line of the log:
// the text of many errors has a name in it that is another one at every try.
const repeatAfter = time.Minute

// Loop is what one loop remembers between its tries. It belongs to one goroutine.
type Loop struct {
	delays *backoff.ExponentialBackOff
	// said is the trouble that the log has, "" when there is none.
	said          string
	since, saidAt time.Time
}

// New makes a Loop that waits about first after the first failure and at most
// about half as much again as longest after many.
func New(first, longest time.Duration) *Loop {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = first, longest
	return &Loop{delays: delays}
}

// Failed notes a try that failed and waits until the next one is due. The error
// is ctx's, when that ended first.
func (l *Loop) Failed(ctx context.Context, message string, err error) error {
	l.Note(ctx, message, err)
	return l.Wait(ctx)
}

// Note logs a failure, unless the log has it already.
func (l *Loop) Note(ctx context.Context, message string, err error) {
	if ctx.Err() != nil {
		return
	}
	now, text := time.Now(), message+err.Error()
	if l.said == "" {
		l.since = now
	}
	if l.said == text || l.said != "" && now.Sub(l.saidAt) < repeatAfter {
		return
	}
	l.said, l.saidAt = text, now
	log.G(ctx).WithError(err).Warn(message)
}

// Wait waits until the next try is due.
func (l *Loop) Wait(ctx context.Context) error {
	timer := time.NewTimer(l.delays.NextBackOff())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Succeeded ends a trouble, which the log is told of; the next one begins with
// short waits again.
func (l *Loop) Succeeded(ctx context.Context, message string) {
	l.delays.Reset()
	if l.said == "" {
		return
	}
	l.said = ""
	log.G(ctx).WithField("after", time.Since(l.since).Round(time.Millisecond)).Info(message)
}

// Pause waits for d, unless ctx ends first. The error is ctx's.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
