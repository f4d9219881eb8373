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

// WatchImages calls arrived after images have come to the engine, once settle
// has passed without another event. It returns when ctx ends or the engine's
// stream breaks off.
func (c *Client) WatchImages(ctx context.Context, settle time.Duration, arrived func()) error {
	args := filters.NewArgs(filters.Arg("type", string(events.ImageEventType)))
	for _, action := range []events.Action{events.ActionPull, events.ActionLoad, events.ActionImport, events.ActionTag} {
		args.Add("event", string(action))
	}
	messages, errs := c.docker.Events(ctx, events.ListOptions{Filters: args})
	var quiet <-chan time.Time
	for {
		select {
		case <-messages:
			quiet = time.After(settle)
		case <-quiet:
			quiet = nil
			arrived()
		case err := <-errs:
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("follow image events: %w", classify(ctx, err))
		}
	}
}
