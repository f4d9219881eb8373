package pool

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// filler keeps a pool full: it carries out what the scheduler books.
type filler struct {
	config    Config
	maker     *sandbox.Maker
	registry  *registry
	scheduler *scheduler
	booter    *booter
	removal   *removal
	observer  Observer
	// life ends with the pool.
	life context.Context
}

// run fills the pool until ctx ends and returns when every boot that it began has ended.
func (f *filler) run(ctx context.Context) {
	var refills sync.WaitGroup
	defer refills.Wait()
	tries := retry.New(time.Second, 30*time.Second)
	for {
		if f.config.Room != nil {
			f.scheduler.room(f.config.Room())
		}
		if name := f.scheduler.shrink(); name != "" {
			refills.Go(func() { f.removal.discard(ctx, name) })
		}
		for range f.scheduler.bookRefills() {
			refills.Go(func() { f.refill(ctx) })
		}
		if f.scheduler.bookStandby() {
			refills.Go(func() { f.prepareStandby(ctx) })
		}
		if f.scheduler.bookHolder() {
			refills.Go(func() { f.prepareHolder(ctx) })
		}
		if f.scheduler.stats().LastError == nil {
			tries.Succeeded(ctx, "sandboxes can be made again")
		}
		select {
		case <-ctx.Done():
			return
		case <-f.scheduler.wake:
		case <-time.After(f.scheduler.untilQuiet()):
		}
		if err := f.scheduler.stats().LastError; err != nil && tries.Failed(ctx, "a sandbox could not be made, trying again", err) != nil {
			return
		}
	}
}

// refill boots a sandbox that was booked, for the pool or a claim that waits.
func (f *filler) refill(ctx context.Context) {
	defer f.scheduler.signal()
	select {
	case f.scheduler.slots <- struct{}{}:
		// Kept until the sandbox is handed over: a claim that waits must not win the
		// slot and boot another.
		defer func() { <-f.scheduler.slots }()
	case <-ctx.Done():
		f.scheduler.refillFailed()
		return
	}
	s, err := f.booter.boot(ctx, order{name: sandbox.NewName()})
	if err == nil && f.scheduler.stats().Waiting == 0 {
		if err := s.Prime(ctx); err != nil {
			log.G(ctx).WithField("sandbox", s.Name).WithError(err).Debug("sandbox not primed, its first container will start slower")
		}
	}
	if err != nil {
		f.scheduler.refillFailed() // run tells of it
		return
	}
	fault.Point("pool.refill.booted")
	warm, surplus := f.scheduler.refilled(s)
	if warm {
		log.G(ctx).WithField("sandbox", s.Name).Debug("sandbox warm")
	}
	for _, name := range surplus {
		f.removal.discard(ctx, name)
	}
	// It may have died between its first answer and its entry among the warm ones.
	if warm && closed(s.Gone()) {
		f.replace(s)
	}
}

// prepareStandby makes a standby that was booked.
func (f *filler) prepareStandby(ctx context.Context) {
	defer f.scheduler.signal()
	now, name := f.registry.shape(), sandbox.NewName()
	f.registry.set(name, stateBooting)
	id, err := f.maker.MakeStandby(ctx, sandbox.Spec{Name: name, Hardware: now.hardware})
	if err != nil {
		err = f.removal.undo(ctx, name, err)
	}
	fault.Point("pool.standby.made")
	added := err == nil && f.registry.add(entry{name: name, state: stateStandby, id: id, generation: now.generation, epoch: now.epoch}, math.MaxInt)
	f.scheduler.prepared(stateStandby, err)
	if err == nil && !added {
		f.removal.discard(ctx, name)
	}
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("a standby sandbox could not be made")
	}
}

// prepareHolder makes a network ahead that was booked.
func (f *filler) prepareHolder(ctx context.Context) {
	defer f.scheduler.signal()
	name := sandbox.NewName()
	f.registry.set(name, stateBooting)
	id, err := f.maker.MakeHolder(ctx, name)
	if err != nil {
		err = f.removal.undo(ctx, name, err)
	}
	fault.Point("pool.holder.made")
	added := err == nil && f.registry.add(entry{name: name, state: stateHolder, id: id}, math.MaxInt)
	f.scheduler.prepared(stateHolder, err)
	if err == nil && !added {
		f.removal.discard(ctx, name)
	}
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("a sandbox's network could not be made ahead")
	}
}

// replace removes a warm sandbox that died and has another one booted. One that a pod
// holds is the pod's business.
func (f *filler) replace(s *sandbox.Sandbox) {
	if !f.registry.lost(s) {
		return
	}
	log.L.WithField("sandbox", s.Name).Warn("a warm sandbox died, it is replaced")
	f.observer.Sandbox(EventDied, s.Name)
	ctx, cancel := context.WithTimeout(f.life, time.Minute)
	defer cancel()
	if err := f.removal.destroy(ctx, s.Name); err != nil {
		log.L.WithField("sandbox", s.Name).WithError(err).Warn("a dead sandbox could not be removed")
	}
	f.scheduler.signal()
}
