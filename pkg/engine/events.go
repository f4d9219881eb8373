package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// pingPeriod is how often an engine that reports no event is asked whether it is
// still there: a stream that has died may look like one on which nothing happens.
const pingPeriod = time.Minute

// WatchImages calls arrived after images have come to the engine since then, once
// settle has passed without another event. It returns when ctx ends, the engine's
// stream breaks off or the engine does not answer any more.
func (c systemAPI) WatchImages(ctx context.Context, since time.Time, settle time.Duration, arrived func()) error {
	args := filters.NewArgs(filters.Arg("type", string(events.ImageEventType)))
	for _, action := range []events.Action{events.ActionPull, events.ActionLoad, events.ActionImport, events.ActionTag} {
		args.Add("event", string(action))
	}
	ctx, silence, end := listen(ctx, c.limit)
	defer end()
	messages, errs := c.sdk(ctx).Events(ctx, events.ListOptions{Since: unixTime(since), Filters: args})
	silence.rest()
	idle := time.NewTicker(pingPeriod)
	defer idle.Stop()
	var quiet <-chan time.Time
	for {
		select {
		case <-messages:
			quiet = time.After(settle)
		case <-quiet:
			quiet = nil
			arrived()
		case <-idle.C:
			if err := c.Ping(ctx); err != nil {
				return fmt.Errorf("follow image events: %w", err)
			}
		case err := <-errs:
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("follow image events: %w", classify(ctx, err))
		}
	}
}

// RanOutOfMemory says whether the kernel killed a process of a container for want
// of memory between since and now, or within the given time from now: an engine
// may hear of it after the container's end, and then its state does not tell.
func (c systemAPI) RanOutOfMemory(ctx context.Context, id string, since time.Time, within time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, within+c.limit)
	defer cancel()
	messages, errs := c.sdk(ctx).Events(ctx, events.ListOptions{Since: unixTime(since), Until: unixTime(time.Now().Add(within)),
		Filters: filters.NewArgs(filters.Arg("container", id), filters.Arg("event", string(events.ActionOOM)))})
	select {
	case <-messages:
		return true, nil
	case err := <-errs:
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("ask for events of container %s: %w", id, classify(ctx, err))
	}
}

// unixTime is a moment as the engine's options take it.
func unixTime(t time.Time) string {
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}
