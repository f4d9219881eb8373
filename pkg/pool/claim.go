package pool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// Claim is one sandbox for one pod: taken warm, or still to be booted.
type Claim struct {
	// Name of the sandbox, known before it exists.
	Name string

	pool *Pool
	warm *Sandbox
	// got is what Sandbox returned.
	got   *Sandbox
	ports []engine.Port
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
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.warm) == 0 || len(ports) > 0 {
		return &Claim{Name: newName(), pool: p, ports: ports}
	}
	at := max(slices.IndexFunc(p.warm, func(s *Sandbox) bool { return s.epoch == p.epoch }), 0)
	return p.take(at)
}

// ReserveFresh is Reserve for a pod that needs an image which came to the host
// just now: it gets a sandbox that was booted after this moment.
func (p *Pool) ReserveFresh(ports []engine.Port) *Claim {
	return &Claim{Name: newName(), pool: p, ports: ports, alone: true}
}

// take hands out a warm sandbox; the lock is held.
func (p *Pool) take(at int) *Claim {
	s := p.warm[at]
	p.warm = slices.Delete(p.warm, at, at+1)
	p.signal()
	c := &Claim{Name: s.Name, pool: p, warm: s}
	c.starts()
	return c
}

// starts counts the claim's pod as one that starts; the lock is held.
func (c *Claim) starts() {
	c.starting = true
	c.pool.unsettled++
	c.pool.quiet = time.Now().Add(quietPeriod)
}

// quietPeriod bounds how long the boot of a replacement waits for a pod that is
// starting. The two at once share the machine's cores, and the pod's user is the
// one who waits: on two cores it doubled the time to running.
const quietPeriod = time.Second

// Settled says that the pod has started, or never will: the sandbox that it took
// may be replaced. It may be called more than once.
func (c *Claim) Settled() {
	if !c.starting {
		return
	}
	c.settled.Do(func() {
		c.pool.count(&c.pool.unsettled, -1)
		c.pool.signal()
	})
}

// untilQuiet is how long Run may sleep.
func (p *Pool) untilQuiet() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := time.Hour
	next := []time.Time{p.standbyAfter, p.holderAfter}
	if p.unsettled > 0 {
		next = append(next, p.quiet)
	}
	for _, at := range next {
		if left := time.Until(at); left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// Rebook names the sandbox of an earlier run that died before it existed.
func (p *Pool) Rebook(name string, ports []engine.Port) *Claim {
	return &Claim{Name: name, pool: p, ports: ports, again: true}
}

// Warm says whether the sandbox existed when it was claimed.
func (c *Claim) Warm() bool { return c.warm != nil }

// Sandbox returns the claimed sandbox. If it was not warm, it is booted, unless
// one that was being made for the pool is ready first, which then has a name of
// its own. One that died in the meantime is returned all the same; see Gone.
func (c *Claim) Sandbox(ctx context.Context) (*Sandbox, error) {
	if c.warm != nil {
		return c.warm, nil
	}
	if c.got != nil {
		return c.got, nil
	}
	p := c.pool
	p.count(&p.claiming, 1)
	s, err := c.boot(ctx)
	if c.again && err == nil && s.Name != c.Name {
		p.disown(c.Name, false)
	}
	p.mu.Lock()
	p.claiming--
	if c.got = s; err == nil && !c.starting {
		c.starts()
	}
	p.mu.Unlock()
	p.signal()
	return s, err
}

func (c *Claim) boot(ctx context.Context) (*Sandbox, error) {
	p := c.pool
	if c.again {
		// A boot that a crash cut short may have left any part of it.
		if err := p.clear(ctx, c.Name); err != nil {
			return nil, err
		}
		fault.Point("pool.claim.cleared")
	}
	handed := make(chan *Sandbox, 1)
	if len(c.ports) == 0 && !c.alone {
		p.mu.Lock()
		p.waiting = append(p.waiting, handed)
		p.mu.Unlock()
	}
	select {
	case s := <-handed:
		return s, nil
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
	}
	if s := p.withdraw(handed); s != nil {
		return s, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for a turn to boot sandbox %s: %w", c.Name, ctx.Err())
	}
	return p.bootNoted(ctx, making{name: c.Name, ports: c.ports, anew: c.alone})
}

// withdraw ends a claim's waiting; it returns the sandbox that it was handed at
// the last moment, if any.
func (p *Pool) withdraw(handed chan *Sandbox) *Sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.Index(p.waiting, handed); at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	select {
	case s := <-handed:
		return s
	default:
		return nil
	}
}

// Return puts a claimed sandbox back that nothing was done with. One that
// publishes ports is of no use to others.
func (p *Pool) Return(c *Claim) {
	c.Settled()
	s := c.warm
	if s == nil {
		s = c.got
	}
	if s == nil {
		return
	}
	p.mu.Lock()
	if len(c.ports) > 0 || p.outdated(s) || p.fresh() >= p.config.Size {
		p.mu.Unlock()
		p.discard(p.life, s.Name)
		return
	}
	p.warm = append(p.warm, s)
	p.mu.Unlock()
	if closed(s.Gone()) {
		p.lost(s)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Actual is the name of the sandbox that Sandbox has returned, "" if it has not.
// It is another one than Name where one was ready first.
func (c *Claim) Actual() string {
	if c.got == nil {
		return ""
	}
	return c.got.Name
}
