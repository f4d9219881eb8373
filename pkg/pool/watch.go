package pool

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// lastWords are the last lines of a sandbox's log, for the error message.
func (p *Pool) lastWords(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var log bytes.Buffer
	if err := p.host.Logs(ctx, id, engine.LogOptions{Tail: 3}, &log); err != nil || log.Len() == 0 {
		return ""
	}
	return ": " + strings.Join(strings.Fields(log.String()), " ")
}

// watch ends s.running when the container stops. It outlives an engine that
// goes away for a while: only a clear answer ends it.
func (p *Pool) watch(ctx context.Context, stop context.CancelFunc, s *Sandbox) {
	p.watchers.Go(func() {
		defer stop()
		tries := retry.New(watchAgain, 5*time.Second)
		for {
			began := time.Now()
			err := p.awaitEnd(ctx, s)
			if err == nil || errdefs.IsNotFound(err) {
				s.end()
				s.Engine.Close()
				p.lost(s)
				return
			}
			if time.Since(began) > time.Minute {
				tries = retry.New(watchAgain, 5*time.Second)
			}
			// Not logged: others tell of an engine that is away, once for all sandboxes.
			if tries.Wait(ctx) != nil {
				return
			}
		}
	})
}

// awaitEnd returns when the sandbox's container does not run any more; an error says
// that this is not known. It ends the container when the holder of its network ends. No
// call for that is under way after the return, when the sandbox may be started again.
func (p *Pool) awaitEnd(ctx context.Context, s *Sandbox) error {
	if s.holder == "" {
		_, err := p.host.Wait(ctx, s.ID)
		return err
	}
	both, stop := context.WithCancel(ctx)
	var holder sync.WaitGroup
	holder.Go(func() { p.endWith(both, s) })
	_, err := p.host.Wait(ctx, s.ID)
	stop()
	holder.Wait()
	return err
}

// endWith ends the container of a sandbox when the holder of its network has ended.
func (p *Pool) endWith(ctx context.Context, s *Sandbox) {
	tries := retry.New(watchAgain, 5*time.Second)
	for {
		_, err := p.host.Wait(ctx, s.holder)
		if ctx.Err() != nil {
			return
		}
		if err == nil || errdefs.IsNotFound(err) {
			if p.host.Stop(context.WithoutCancel(ctx), s.ID, 0) == nil {
				return
			}
		}
		if tries.Wait(ctx) != nil {
			return
		}
	}
}

// watchAgain is how soon after a break an engine is asked for a sandbox again.
const watchAgain = 200 * time.Millisecond
