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

// WatchImages calls arrived after images have come to the engine, once settle
// has passed without another event. It returns when ctx ends, the engine's
// stream breaks off or the engine does not answer any more.
func (c *Client) WatchImages(ctx context.Context, settle time.Duration, arrived func()) error {
	args := filters.NewArgs(filters.Arg("type", string(events.ImageEventType)))
	for _, action := range []events.Action{events.ActionPull, events.ActionLoad, events.ActionImport, events.ActionTag} {
		args.Add("event", string(action))
	}
	ctx, silence, end := listen(ctx, c.limit)
	defer end()
	messages, errs := c.docker.Events(ctx, events.ListOptions{Filters: args})
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
