package images

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/docker/go-units"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// task names work that is done once for all who ask for it at a time. Who has
// other credentials may see another answer: no sharing between them.
type task struct {
	what, where, ref string
	auth             engine.Credentials
	// pod says that they are a pod's, and so who may use what comes.
	pod bool
}

// flight is a task under way. It goes on as long as somebody waits.
type flight struct {
	cancel context.CancelFunc
	// waiters is guarded by the Provider's mutex.
	waiters  int
	progress atomic.Pointer[engine.PullProgress]
	// done is closed once result and err are set.
	done   chan struct{}
	result string
	err    error
}

// tellPeriod is how often those who wait are told how far a pull is, at most.
const tellPeriod = time.Second

// shared does a task, or waits for the one under way. When nobody waits any more,
// the work is cancelled. tell may be nil.
func (p *Provider) shared(ctx context.Context, t task, tell func(string), do func(context.Context, *flight) (string, error)) (string, error) {
	f := p.join(ctx, t, do)
	if f == nil {
		return "", context.Canceled
	}
	defer p.leave(t, f)
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
				tell(describe(t.ref, *now))
			}
		}
	}
}

// join finds the flight of a task or begins it; nil after Close.
func (p *Provider) join(ctx context.Context, t task, do func(context.Context, *flight) (string, error)) *flight {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, under := p.flights[t]; under {
		f.waiters++
		return f
	}
	if p.closed {
		return nil
	}
	work, cancel := p.bounded(log.WithLogger(p.life, log.G(ctx)))
	f := &flight{cancel: cancel, waiters: 1, done: make(chan struct{})}
	p.flights[t] = f
	p.work.Go(func() {
		defer cancel()
		defer close(f.done)
		f.result, f.err = do(work, f)
		p.forget(t, f)
	})
	return f
}

// bounded applies the limit of one pull.
func (p *Provider) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.config.Timeout > 0 {
		return context.WithTimeout(ctx, p.config.Timeout)
	}
	return context.WithCancel(ctx)
}

// leave gives up one wait; the last one ends the work, which nobody can join
// any more then.
func (p *Provider) leave(t task, f *flight) {
	p.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	p.forgetLocked(t, f, last)
	p.mu.Unlock()
	if last {
		f.cancel()
	}
}

// forget makes room for the next flight of a task.
func (p *Provider) forget(t task, f *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(t, f, true)
}

func (p *Provider) forgetLocked(t task, f *flight, over bool) {
	if over && p.flights[t] == f {
		delete(p.flights, t)
	}
}

// logPeriod is how often the log says how far a pull is, at most.
const logPeriod = 5 * time.Second

// follow returns what an engine tells the progress of a pull.
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
			log.G(ctx).WithField("image", ref).WithField("percent", percent(now)).Info(line)
		}
	}
}

func percent(now engine.PullProgress) int64 {
	if now.Total == 0 {
		return 0
	}
	return now.Done * 100 / now.Total
}

// describe says how far a pull is.
func describe(ref string, now engine.PullProgress) string {
	switch {
	case now.Unpacking:
		return fmt.Sprintf("pulling image %s: unpacking %s", ref, size(now.Total))
	case now.Total == 0:
		return "pulling image " + ref
	case now.Unsized > 0:
		return fmt.Sprintf("pulling image %s: %s of %s or more", ref, size(now.Done), size(now.Total))
	}
	return fmt.Sprintf("pulling image %s: %s of %s", ref, size(now.Done), size(now.Total))
}

func size(bytes int64) string {
	return units.CustomSize("%.4g %s", float64(bytes), 1000, []string{"B", "kB", "MB", "GB", "TB", "PB"})
}
