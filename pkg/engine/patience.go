package engine

import (
	"context"
	"time"
)

// patience is how many times longer a call may take that changes something, for as long
// as the engine answers pings. A slow or busy host takes minutes for the start of a
// container, and a call that is given up leaves the engine at it: what it makes then
// is in the way of the next try, and both make the host slower still.
const patience = 10

// patient derives a context that ends when the engine has taken longer than usual and
// does not answer a ping, and after patience times the limit in any case.
func (c *Client) patient(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(c.limit)
		defer tick.Stop()
		for range patience {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if c.pingWithin(ctx, c.limit) != nil {
				break
			}
		}
		cancel(errSilent)
	}()
	return ctx, func() { cancel(nil); <-over }
}
