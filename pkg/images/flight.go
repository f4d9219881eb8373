package images

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// task names work that is done once for all pods that ask for it at a time. A registry may
// give another answer to other credentials, so that tasks with different ones are not shared.
type task struct {
	what, where, ref string
	auth             engine.Credentials
	// pod says that the credentials are a pod's, which limits the use of the image.
	pod bool
}

// flight is a task under way. It goes on as long as a caller waits for it.
type flight struct {
	cancel context.CancelFunc
	// waiters is guarded by the mutex of flights.
	waiters  int
	progress atomic.Pointer[engine.PullProgress]
	// done is closed once result and err are set.
	done   chan struct{}
	result string
	err    error
}

// flights are the pulls and copies under way. Work that several pods wait for is done once.
type flights struct {
	// limit of one task, 0 for none.
	limit time.Duration
	life  context.Context
	end   context.CancelFunc
	work  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	tasks  map[task]*flight
}

// newFlights makes flights that last limit each at most, 0 for any time. They have to be
// closed.
func newFlights(limit time.Duration) *flights {
	life, end := context.WithCancel(context.Background())
	return &flights{limit: limit, life: life, end: end, tasks: map[task]*flight{}}
}

// close ends what is under way and waits for it.
func (fs *flights) close() {
	fs.mu.Lock()
	fs.closed = true
	fs.mu.Unlock()
	fs.end()
	fs.work.Wait()
}

// underWay says whether a task of an image is.
func (fs *flights) underWay(ref string) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for t := range fs.tasks {
		if t.ref == ref {
			return true
		}
	}
	return false
}

// tellPeriod is the least time between two messages to waiting pods on a pull's progress.
const tellPeriod = time.Second

// share does a task, or waits for the one under way, and returns its result. When no caller
// waits any more the work is cancelled. tell, unless nil, is told the progress of a pull.
// After close the error is context.Canceled.
func (fs *flights) share(ctx context.Context, t task, tell func(string, *engine.PullProgress), do func(context.Context, *flight) (string, error)) (string, error) {
	f := fs.join(ctx, t, do)
	if f == nil {
		return "", context.Canceled
	}
	defer fs.leave(t, f)
	tick := time.NewTicker(tellPeriod)
	defer tick.Stop()
	var told *engine.PullProgress
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-f.done:
			return f.result, f.err
		case <-tick.C:
			if now := f.progress.Load(); tell != nil && now != told {
				told = now
				tell(describe(t.ref, *now), now)
			}
		}
	}
}

// join finds the flight of a task or begins it; nil after Close.
func (fs *flights) join(ctx context.Context, t task, do func(context.Context, *flight) (string, error)) *flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f, under := fs.tasks[t]; under {
		f.waiters++
		return f
	}
	if fs.closed {
		return nil
	}
	work, cancel := bounded(log.WithLogger(fs.life, log.G(ctx)), fs.limit)
	f := &flight{cancel: cancel, waiters: 1, done: make(chan struct{})}
	fs.tasks[t] = f
	fs.work.Go(func() {
		defer cancel()
		defer close(f.done)
		f.result, f.err = do(work, f)
		fs.forget(t, f)
	})
	return f
}

// bounded applies a limit, 0 for none.
func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit > 0 {
		return context.WithTimeout(ctx, limit)
	}
	return context.WithCancel(ctx)
}

// leave gives up one wait; the last one ends the work, which takes no new waiters from then
// on.
func (fs *flights) leave(t task, f *flight) {
	fs.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	fs.forgetLocked(t, f, last)
	fs.mu.Unlock()
	if last {
		f.cancel()
	}
}

// forget makes room for the next flight of a task.
func (fs *flights) forget(t task, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.forgetLocked(t, f, true)
}

// forgetLocked is forget for a caller that has the mutex, if the flight is over.
func (fs *flights) forgetLocked(t task, f *flight, over bool) {
	if over && fs.tasks[t] == f {
		delete(fs.tasks, t)
	}
}

// logPeriod is the least time between two log lines on a pull's progress.
const logPeriod = 5 * time.Second

// follow returns a function for an engine to report the progress of a pull to.
func (f *flight) follow(ctx context.Context, ref string) func(engine.PullProgress) {
	logged := time.Now()
	var last string
	return func(now engine.PullProgress) {
		f.progress.Store(&now)
		if time.Since(logged) < logPeriod {
			return
		}
		logged = time.Now()
		if line := describe(ref, now); line != last {
			last = line
			log.G(ctx).WithField("image", ref).WithField("percent", now.Percent()).Info(line)
		}
	}
}
