package pool

import (
	"context"
	"fmt"
	"sync"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Claim is one sandbox for one pod: taken warm, or still to be booted.
type Claim struct {
	// Name of the sandbox, known before it exists.
	Name string

	pool *Pool
	warm *sandbox.Sandbox
	// got is what Sandbox returned.
	got   *sandbox.Sandbox
	ports []engine.Port
	// image of the sandbox, "" for the pool's.
	image string
	again bool
	// alone claims take no sandbox that was being made for the pool.
	alone bool
	// starting says that the pool counts this claim's pod as one that starts.
	starting bool
	settled  sync.Once
}

// Reserve takes a warm sandbox, or names the one that Claim.Sandbox will boot.
// It never blocks, and no two claims get the same sandbox. One that publishes
// ports on the host has to be booted with them.
func (p *Pool) Reserve(ports []engine.Port) *Claim {
	if len(ports) == 0 {
		if s := p.scheduler.reserve(); s != nil {
			return &Claim{Name: s.Name, pool: p, warm: s, starting: true}
		}
	}
	return &Claim{Name: sandbox.NewName(), pool: p, ports: ports}
}

// ReserveFresh is Reserve for a pod that needs an image which came to the host
// just now: it gets a sandbox that was booted after this moment.
func (p *Pool) ReserveFresh(ports []engine.Port) *Claim {
	return &Claim{Name: sandbox.NewName(), pool: p, ports: ports, alone: true}
}

// Rebook names the sandbox of an earlier run that died before it existed.
func (p *Pool) Rebook(name string, ports []engine.Port) *Claim {
	return &Claim{Name: name, pool: p, ports: ports, again: true}
}

// Of has the sandbox of a claim that is not warm made from an image of its own; "" is the
// pool's. No other pod gets such a sandbox.
func (c *Claim) Of(image string) *Claim {
	c.image = image
	return c
}

// special says that a sandbox of the pool does not serve the claim, nor its own another one.
func (c *Claim) special() bool { return len(c.ports) > 0 || c.image != "" }

// Return puts a claimed sandbox back that nothing was done with. One that
// publishes ports or has an image of its own is of no use to others.
func (p *Pool) Return(c *Claim) {
	c.Settled()
	s := c.warm
	if s == nil {
		s = c.got
	}
	switch {
	case s == nil:
	case c.special() || !p.scheduler.stock(s):
		p.removal.discard(p.life, s.Name)
	case closed(s.Gone()):
		p.filler.replace(s)
	}
}

// Settled says that the pod has started, or never will: the sandbox that it took
// may be replaced. It may be called more than once.
func (c *Claim) Settled() {
	if c.starting {
		c.settled.Do(c.pool.scheduler.podSettled)
	}
}

// Warm says whether the sandbox existed when it was claimed.
func (c *Claim) Warm() bool { return c.warm != nil }

// Actual is the name of the sandbox that Sandbox has returned, "" if it has not.
// It is another one than Name where one was ready first.
func (c *Claim) Actual() string {
	if c.got == nil {
		return ""
	}
	return c.got.Name
}

// Sandbox returns the claimed sandbox. If it was not warm, it is booted, unless
// one that was being made for the pool is ready first, which then has a name of
// its own. One that died in the meantime is returned all the same; see Gone.
func (c *Claim) Sandbox(ctx context.Context) (*sandbox.Sandbox, error) {
	if c.warm != nil {
		return c.warm, nil
	}
	if c.got != nil {
		return c.got, nil
	}
	p := c.pool
	if err := c.fetch(ctx); err != nil {
		return nil, err
	}
	p.scheduler.claimBegins()
	s, err := c.boot(ctx)
	if err == nil {
		p.registry.set(s.Name, stateClaimed)
		if c.again && s.Name != c.Name {
			p.registry.forget(c.Name)
		}
	}
	starts := err == nil && !c.starting
	if c.got = s; starts {
		c.starting = true
	}
	p.scheduler.claimEnds(starts)
	return s, err
}

// fetch brings the claim's own image to the host before the pool makes way for its boot: a
// pull takes long, or fails.
func (c *Claim) fetch(ctx context.Context) error {
	if c.image == "" || c.pool.config.FetchImage == nil {
		return nil
	}
	if err := c.pool.config.FetchImage(ctx, c.image); err != nil {
		return fmt.Errorf("the sandbox image %s of the pod's runtime class is missing: set sandboxImage in RuntimeClasses to one that this host has or can pull: %w", c.image, err)
	}
	return nil
}

func (c *Claim) boot(ctx context.Context) (*sandbox.Sandbox, error) {
	p := c.pool
	if c.again {
		// A boot that a crash cut short may have left any part of it.
		if err := p.removal.clear(ctx, c.Name); err != nil {
			return nil, err
		}
		fault.Point("pool.claim.cleared")
	}
	handed := make(chan *sandbox.Sandbox, 1)
	if !c.special() && !c.alone {
		p.scheduler.await(handed)
	}
	select {
	case s := <-handed:
		return s, nil
	case p.scheduler.slots <- struct{}{}:
		defer func() { <-p.scheduler.slots }()
	case <-ctx.Done():
	}
	if s := p.scheduler.withdraw(handed); s != nil {
		return s, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for a turn to boot sandbox %s: %w", c.Name, ctx.Err())
	}
	return p.booter.boot(ctx, order{name: c.Name, ports: c.ports, image: c.image, anew: c.alone})
}
