// Package pool keeps Docker-in-Docker sandboxes warm and hands each out once.
package pool

import (
	"context"
	"sync"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Pool hands sandboxes out, and is what pods see of them: its parts boot, keep account,
// refill, recover and sweep.
type Pool struct {
	config    Config
	networks  *sandbox.Networks
	maker     *sandbox.Maker
	finder    *sandbox.Finder
	registry  *registry
	scheduler *scheduler
	removal   *removal
	booter    *booter
	filler    *filler
	recovery  *recovery
	sweeper   *sweeper

	life context.Context
	end  context.CancelFunc
	// background is what Close waits for.
	background sync.WaitGroup
}

// New makes a pool that does nothing until Restore and Run.
func New(config Config, host sandbox.HostEngine) *Pool {
	if config.Observer == nil {
		config.Observer = unobserved{}
	}
	made := config.Config
	p := &Pool{config: config, networks: sandbox.NewNetworks(made, host), finder: sandbox.NewFinder(made, host),
		registry: newRegistry(shape{generation: made.Generation(sandbox.Hardware{})})}
	p.life, p.end = context.WithCancel(context.Background())
	p.maker = sandbox.NewMaker(made, host, p.networks, func(s *sandbox.Sandbox) { p.filler.replace(s) })
	p.scheduler = newScheduler(config, p.registry)
	remover := sandbox.NewRemover(made, host, p.networks, config.StrayDryRun)
	p.removal = newRemoval(remover, p.registry, config.Observer, config.StrayDryRun)
	p.booter = &booter{maker: p.maker, registry: p.registry, removal: p.removal, scheduler: p.scheduler, observer: config.Observer}
	p.filler = &filler{config: config, maker: p.maker, registry: p.registry, scheduler: p.scheduler, booter: p.booter,
		removal: p.removal, observer: config.Observer, life: p.life}
	p.recovery = &recovery{config: config, maker: p.maker, finder: p.finder, remover: remover, registry: p.registry,
		removal: p.removal, observer: config.Observer}
	p.sweeper = &sweeper{finder: p.finder, remover: remover, registry: p.registry, removal: p.removal, grace: config.StrayGrace}
	return p
}

// Stats returns how many sandboxes are in which state.
func (p *Pool) Stats() Stats { return p.scheduler.stats() }

// Warm lists the sandboxes that wait for a pod.
func (p *Pool) Warm() []*sandbox.Sandbox { return p.registry.warm() }

// CheckInstance refuses a name that another docker-sd uses on this engine: each
// would remove the other's sandboxes as strays. It takes the networks of earlier
// sandboxes out of the free ones.
func (p *Pool) CheckInstance(ctx context.Context) error {
	if err := p.finder.CheckInstance(ctx); err != nil {
		return err
	}
	return p.networks.MarkUsed(ctx)
}

// Keep notes the sandboxes that pods of an earlier run hold, by pool name or by
// the name that Assign gave them. False stands for a sandbox that was to be
// released: its folder stays, and Restore removes what else there is.
func (p *Pool) Keep(claimed map[string]bool) {
	states := map[string]state{}
	for name, whole := range claimed {
		if states[name] = stateReleased; whole {
			states[name] = stateClaimed
		}
	}
	p.registry.setAll(states)
}

// Restore puts the warm sandboxes of an earlier run back into the pool and
// removes what that run left half-made: everything with our label that no pod
// holds. One that was a pod's stays for StrayGrace: its record may have been lost
// with a data folder that is not mounted. Keep comes before it, Run after it.
func (p *Pool) Restore(ctx context.Context) error { return p.recovery.restore(ctx) }

// Run keeps the pool full until ctx ends and returns when every boot that it
// began has ended. Sandboxes stay as they are.
func (p *Pool) Run(ctx context.Context) {
	var sweeps sync.WaitGroup
	defer sweeps.Wait()
	sweeps.Go(func() { p.sweeper.run(ctx, p.scheduler.signal) })
	p.filler.run(ctx)
}

// Close ends the watching of sandboxes; they go on running.
func (p *Pool) Close() {
	p.end()
	p.maker.Close()
	p.background.Wait()
}

// Refresh has warm sandboxes replaced, one by one and in the background, by such
// as see images that have come to the host since.
func (p *Pool) Refresh() {
	p.registry.imagesChanged()
	p.scheduler.signal()
}

// SetHardware says what sandboxes get from now on. If that is something else
// than before, all that wait in the pool are replaced in the background: none of
// them is handed out any more.
func (p *Pool) SetHardware(h sandbox.Hardware) {
	outdated, changed := p.registry.reshape(h, p.config.Generation(h))
	if !changed {
		return
	}
	p.scheduler.signal()
	p.background.Go(func() {
		for _, name := range outdated {
			p.removal.discard(p.life, name)
		}
	})
}

// Try boots a sandbox with hardware that is not the pool's own, has it checked,
// and removes it again.
func (p *Pool) Try(ctx context.Context, h sandbox.Hardware, check func(context.Context, *sandbox.Sandbox) error) error {
	name := sandbox.NewName()
	s, err := p.booter.bootAs(ctx, sandbox.Spec{Name: name, Hardware: h}, shape{hardware: h, generation: p.config.Generation(h)})
	if err != nil {
		return err
	}
	return p.removal.undo(ctx, name, check(ctx, s))
}

// Adopt finds the named sandbox again: see sandbox.Maker.
func (p *Pool) Adopt(ctx context.Context, name string) (*sandbox.Sandbox, error) {
	return p.maker.Adopt(ctx, name)
}

// Assign gives a sandbox's container its pod's name: see sandbox.Maker.
func (p *Pool) Assign(ctx context.Context, s *sandbox.Sandbox, podUID string) error {
	return p.maker.Assign(ctx, s, podUID)
}

// Fit gives a sandbox the bounds of its pod: see sandbox.Maker.
func (p *Pool) Fit(ctx context.Context, s *sandbox.Sandbox, want engine.Bounds) error {
	return p.maker.Fit(ctx, s, want)
}

// Named returns the sandbox that has a pod's name: see sandbox.Finder.
func (p *Pool) Named(ctx context.Context, podUID string) (string, error) {
	return p.finder.Named(ctx, podUID)
}

// Runs says whether the named sandbox's container runs: see sandbox.Finder.
func (p *Pool) Runs(ctx context.Context, name string) (bool, error) { return p.finder.Runs(ctx, name) }

// Destroy removes a sandbox's containers, network and folder, whichever of them
// exist. It may be repeated; what it fails to remove, the sweep takes.
func (p *Pool) Destroy(ctx context.Context, name string) error { return p.removal.destroy(ctx, name) }

// Release removes a sandbox's containers and network and keeps its folder, where
// the volumes of its ended pod are. It may be repeated; what it fails to remove,
// the sweep takes.
func (p *Pool) Release(ctx context.Context, name string) error { return p.removal.release(ctx, name) }
