package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// standbySuffix is that of a container whose engine has not been started, so that
// a list of containers shows as many warm sandboxes as there are.
const standbySuffix = "_standby"

// standby is a sandbox that lacks only its engine: container, network and
// processes are there, which is half of what a boot costs, in a tenth of the
// memory of a warm one. It shares the host's images while it waits, and anew when
// it is woken if there may be others, so it never becomes stale.
type standby struct {
	name, id, generation string
	// epoch of the host's images that it shares, never that of a pool if unknown.
	epoch int
}

func standbyName(name string) string { return strings.TrimSuffix(name, nameSuffix) + standbySuffix }

// startStandby books one standby that is missing. They are made one after the
// other and only while nobody needs the machine more.
func (p *Pool) startStandby() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.occupied() || len(p.standbys) >= p.config.Standby || time.Now().Before(p.standbyAfter) {
		return false
	}
	p.preparing = true
	return true
}

// occupied says that something goes before what is made ahead; the lock is held.
func (p *Pool) occupied() bool {
	busy := p.claiming > 0 || p.unsettled > 0 && time.Now().Before(p.quiet)
	return busy || p.preparing || p.lastErr != nil || p.starting > 0 || p.fresh() < p.config.Size
}

// standbyRetry is the pause after one that could not be made.
const standbyRetry = 30 * time.Second

func (p *Pool) prepare(ctx context.Context) {
	defer p.signal()
	shape := p.currentShape()
	name := newName()
	id, err := p.make(ctx, making{name: name, shape: shape, standby: true})
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = errors.Join(err, p.Destroy(clean, name))
	}
	fault.Point("pool.standby.made")
	p.mu.Lock()
	p.preparing = false
	outdated := shape.generation != p.generation
	switch {
	case err != nil:
		p.standbyAfter = time.Now().Add(standbyRetry)
	case !outdated:
		p.standbys = append(p.standbys, &standby{name: name, id: id, generation: shape.generation, epoch: shape.epoch})
	}
	p.mu.Unlock()
	if err == nil && outdated {
		p.discard(ctx, name)
	}
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("a standby sandbox could not be made")
	}
}

// takeStandby takes one, if there is one. All have what pods may be given now.
func (p *Pool) takeStandby() *standby {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.standbys) == 0 {
		return nil
	}
	s := p.standbys[0]
	p.standbys = p.standbys[1:]
	return s
}

// wakeLimit is how long a standby may take to begin: it has nothing to do but to
// answer.
const wakeLimit = 5 * time.Second

// rouse starts the engine of a standby and returns when it answers. What cannot
// be woken is removed. With anew it looks at the host's images again, whatever the
// pool knows of them.
func (p *Pool) rouse(ctx context.Context, from *standby, anew bool) (*Sandbox, error) {
	bounded, cancel := context.WithTimeout(ctx, p.config.BootTimeout)
	defer cancel()
	shape := p.currentShape()
	current := !anew && from.epoch == shape.epoch
	err := awaken(bounded, initapi.NewClient(p.folder(from.name)), current, func() error { return p.running(bounded, from.id) })
	if err == nil {
		fault.Point("pool.standby.woken")
		// The engine boots meanwhile. A name that stays as it was is no harm to the pod,
		// but it would be taken for a stray's after a restart.
		err = p.host.Rename(bounded, from.id, from.name)
	}
	var s *Sandbox
	if err == nil {
		fault.Point("pool.standby.renamed")
		s, err = p.connect(bounded, from.name, from.id, "")
	}
	if err == nil {
		s.epoch, s.generation = shape.epoch, from.generation
		return s, nil
	}
	clean, cancelClean := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancelClean()
	return nil, errors.Join(fmt.Errorf("wake sandbox %s: %w", from.name, err), p.Destroy(clean, from.name))
}

// awaken has a standby start its engine, and tells it whether the images that it shares
// are still the host's. alive is asked while nobody answers.
func awaken(ctx context.Context, init *initapi.Client, current bool, alive func() error) error {
	ctx, cancel := context.WithTimeout(ctx, wakeLimit)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := init.Start(ctx, current)
		if !errdefs.IsUnavailable(err) {
			return err
		}
		if err := alive(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not wait to be woken: %w", err)
		case <-tick.C:
		}
	}
}

// running is nil if a container runs.
func (p *Pool) running(ctx context.Context, id string) error {
	c, err := p.host.Inspect(ctx, id)
	if err == nil && c.State.Status != engine.StatusRunning {
		return fmt.Errorf("its container is %s: %w", c.State.Status, errdefs.ErrFailedPrecondition)
	}
	return err
}

// rejoinStandby takes one of an earlier run back; it says whether the container
// was one.
func (p *Pool) rejoinStandby(ctx context.Context, c engine.Container) bool {
	name := c.Labels[engine.LabelSandbox]
	if c.Name != standbyName(name) || !IsName(name) || c.State.Status != engine.StatusRunning {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, wakeLimit)
	defer cancel()
	if state, err := initapi.NewClient(p.folder(name)).Status(ctx); err != nil || !state.Standby {
		return false // woken, and then nobody was left to wait for it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Labels[engine.LabelGeneration] != p.generation || len(p.standbys) >= p.config.Standby {
		return false
	}
	p.known[name] = true
	p.standbys = append(p.standbys, &standby{name: name, id: c.ID, generation: p.generation, epoch: p.epoch - 1})
	return true
}

// dropDeadStandbys removes those whose container does not run any more.
func (p *Pool) dropDeadStandbys(ctx context.Context, containers []engine.Container) error {
	alive := map[string]bool{}
	for _, c := range containers {
		alive[c.ID] = c.State.Status == engine.StatusRunning
	}
	p.mu.Lock()
	var dead []*standby
	kept := p.standbys[:0]
	for _, s := range p.standbys {
		if running, listed := alive[s.id]; listed && !running {
			dead = append(dead, s)
		} else {
			kept = append(kept, s)
		}
	}
	p.standbys = kept
	p.mu.Unlock()
	var problems []error
	for _, s := range dead {
		log.G(ctx).WithField("sandbox", s.name).Warn("a standby sandbox died, it is replaced")
		problems = append(problems, p.Destroy(ctx, s.name))
	}
	return errors.Join(problems...)
}
