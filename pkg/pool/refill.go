package pool

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// startRefills counts how many boots are missing and books them. Creates that
// wait for their own sandbox go first.
func (p *Pool) startRefills() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claiming > 0 || p.unsettled > 0 && time.Now().Before(p.quiet) {
		return 0
	}
	missing := max(p.config.Size-p.fresh()-p.starting, 0)
	if missing == 0 && p.starting == 0 {
		p.lastErr = nil
	}
	if p.lastErr != nil {
		missing = min(missing, 1)
	}
	p.starting += missing
	return missing
}

func (p *Pool) refill(ctx context.Context) {
	defer p.signal()
	select {
	case p.slots <- struct{}{}:
		// Kept until the sandbox is handed over: a claim that waits must not win the
		// slot and boot another.
		defer func() { <-p.slots }()
	case <-ctx.Done():
		p.count(&p.starting, -1)
		return
	}
	s, err := p.bootNoted(ctx, making{name: newName()})
	if err == nil && p.Stats().Waiting == 0 {
		if err := s.prime(ctx); err != nil {
			log.G(ctx).WithField("sandbox", s.Name).WithError(err).Debug("sandbox not primed, its first container will start slower")
		}
	}
	if err != nil {
		p.count(&p.starting, -1) // Run tells of it
		return
	}
	fault.Point("pool.refill.booted")
	p.mu.Lock()
	p.starting--
	if p.outdated(s) || len(p.waiting) == 0 && p.fresh() >= p.config.Size {
		p.mu.Unlock()
		p.discard(ctx, s.Name)
		return
	}
	if len(p.waiting) > 0 {
		p.waiting[0] <- s
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		return
	}
	p.warm = append(p.warm, s)
	surplus := p.dropStale()
	p.mu.Unlock()
	log.G(ctx).WithField("sandbox", s.Name).Debug("sandbox warm")
	for _, stale := range surplus {
		p.discard(ctx, stale.Name)
	}
	// It may have died between its first answer and its entry in the list.
	if closed(s.Gone()) {
		p.lost(s)
	}
}

// primeName is no pod's container's: those have three parts.
const primeName = "prime"

// prime runs a container that does nothing, in a sandbox that waits in the pool: the
// first one after a boot takes half as long again as those after it, and it should not
// be a pod's. Failing is no harm.
func (s *Sandbox) prime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	spec, err := s.ProgramSpec(ctx, initapi.TrueCommand())
	if err != nil {
		return err
	}
	spec.Name = primeName
	id, err := s.Engine.Create(ctx, spec)
	if err != nil {
		return err
	}
	fault.Point("pool.prime.created")
	if err = s.Engine.Start(ctx, id); err == nil {
		_, err = s.Engine.Wait(ctx, id)
	}
	return errors.Join(err, s.Engine.Remove(context.WithoutCancel(ctx), id))
}

// programImage is an image without files, in the engine of a sandbox.
const programImage = "docker-sd.invalid/empty:1"

// ProgramSpec is a container that runs the sandbox's init with another command. It
// holds that one file and no image of anybody's, so it is there however images reach
// the sandbox.
func (s *Sandbox) ProgramSpec(ctx context.Context, command []string) (engine.Spec, error) {
	spec := engine.Spec{Image: programImage, Entrypoint: command, Network: "host",
		Mounts: []engine.Mount{{Source: initapi.ProgramPath, Target: initapi.ProgramPath, ReadOnly: true}}}
	_, err := s.Engine.Image(ctx, programImage)
	if errdefs.IsNotFound(err) {
		err = s.Engine.ImportEmpty(ctx, programImage)
	}
	return spec, err
}

// fresh counts warm sandboxes that see all of the host's images; the lock is held.
func (p *Pool) fresh() int {
	n := 0
	for _, s := range p.warm {
		if s.epoch == p.epoch {
			n++
		}
	}
	return n
}

// dropStale takes stale sandboxes out of a pool that has more than enough, as it
// has when some were given back; the lock is held.
func (p *Pool) dropStale() []*Sandbox {
	var out []*Sandbox
	for len(p.warm) > p.config.Size {
		at := slices.IndexFunc(p.warm, func(s *Sandbox) bool { return s.epoch != p.epoch })
		if at < 0 {
			break
		}
		out = append(out, p.warm[at])
		p.warm = slices.Delete(p.warm, at, at+1)
	}
	return out
}

func (p *Pool) discard(ctx context.Context, name string) {
	if err := p.Destroy(ctx, name); err != nil && ctx.Err() == nil {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("a stale sandbox could not be removed")
	}
}

// Refresh has warm sandboxes replaced, one by one and in the background, by such
// as see images that have come to the host since.
func (p *Pool) Refresh() {
	p.mu.Lock()
	p.epoch++
	p.mu.Unlock()
	p.signal()
}

// bootNoted boots and remembers how that went. The caller holds a slot.
func (p *Pool) bootNoted(ctx context.Context, m making) (*Sandbox, error) {
	step, done := p.config.Observer.Step(ctx, StepBoot, "sandbox", m.name)
	s, err := p.boot(step, m)
	done(err)
	p.mu.Lock()
	// A port that is taken on the host is the trouble of the pod that wants it, not of the node.
	if ctx.Err() == nil && (err == nil || len(m.ports) == 0) {
		p.lastErr = err
	}
	p.mu.Unlock()
	return s, err
}

func (p *Pool) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// lost drops a warm sandbox that died and has it replaced. One that a pod holds
// is the pod's business.
func (p *Pool) lost(s *Sandbox) {
	p.mu.Lock()
	at := slices.Index(p.warm, s)
	if at >= 0 {
		p.warm = slices.Delete(p.warm, at, at+1)
	}
	p.mu.Unlock()
	if at < 0 {
		return
	}
	log.L.WithField("sandbox", s.Name).Warn("a warm sandbox died, it is replaced")
	p.config.Observer.Sandbox(EventDied, s.Name)
	ctx, cancel := context.WithTimeout(p.life, time.Minute)
	defer cancel()
	if err := p.Destroy(ctx, s.Name); err != nil {
		log.L.WithField("sandbox", s.Name).WithError(err).Warn("a dead sandbox could not be removed")
	}
	p.signal()
}
