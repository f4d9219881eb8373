package sandbox

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// watcherHost is what a watcher needs of the host's engine.
type watcherHost interface {
	// Wait returns when the container does not run any more.
	Wait(ctx context.Context, id string) (engine.State, error)
	Stop(ctx context.Context, id string, grace time.Duration) error
}

// watcher waits for the end of sandboxes.
type watcher struct {
	host    watcherHost
	gone    func(*Sandbox)
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
}

func newWatcher(host watcherHost, gone func(*Sandbox)) *watcher {
	life, end := context.WithCancel(context.Background())
	return &watcher{host: host, gone: gone, life: life, end: end}
}

// close ends the watching and waits until it has ended.
func (w *watcher) close() {
	w.end()
	w.running.Wait()
}

// watch ends s.running when the container stops, and calls gone then. It outlives an
// engine that goes away for a while: only a clear answer ends it, or stop.
func (w *watcher) watch(s *Sandbox) (stop context.CancelFunc) {
	ctx, stop := context.WithCancel(w.life)
	w.running.Go(func() {
		defer stop()
		if w.awaitAnswer(ctx, s) {
			s.end()
			s.Engine.Close()
			w.gone(s)
		}
	})
	return stop
}

// awaitAnswer is true once the sandbox's container does not run any more, and false
// when ctx ends before.
func (w *watcher) awaitAnswer(ctx context.Context, s *Sandbox) bool {
	tries := retry.New(watchAgain, 5*time.Second)
	for {
		began := time.Now()
		err := w.awaitEnd(ctx, s)
		if err == nil || errdefs.IsNotFound(err) {
			return true
		}
		if time.Since(began) > time.Minute {
			tries = retry.New(watchAgain, 5*time.Second)
		}
		// Not logged: others tell of an engine that is away, once for all sandboxes.
		if tries.Wait(ctx) != nil {
			return false
		}
	}
}

// awaitEnd returns when the sandbox's container does not run any more; an error says
// that this is not known. It ends the container when the holder of its network ends. No
// call for that is under way after the return, when the sandbox may be started again.
func (w *watcher) awaitEnd(ctx context.Context, s *Sandbox) error {
	if s.holder == "" {
		_, err := w.host.Wait(ctx, s.ID)
		return err
	}
	both, stop := context.WithCancel(ctx)
	var holder sync.WaitGroup
	holder.Go(func() { w.endWith(both, s) })
	_, err := w.host.Wait(ctx, s.ID)
	stop()
	holder.Wait()
	return err
}

// endWith ends the container of a sandbox when the holder of its network has ended.
func (w *watcher) endWith(ctx context.Context, s *Sandbox) {
	tries := retry.New(watchAgain, 5*time.Second)
	for {
		_, err := w.host.Wait(ctx, s.holder)
		if ctx.Err() != nil {
			return
		}
		if err == nil || errdefs.IsNotFound(err) {
			if w.host.Stop(context.WithoutCancel(ctx), s.ID, 0) == nil {
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
