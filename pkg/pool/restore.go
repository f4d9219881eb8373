package pool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Adopt finds the named sandbox again after a restart of docker-sd. A stopped
// one is started: its pod's logs and exit codes are inside. ErrNotFound says
// that it is gone for good.
func (p *Pool) Adopt(ctx context.Context, name string) (*Sandbox, error) {
	found, err := p.containers(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("sandbox %s: %w", name, errdefs.ErrNotFound)
	}
	if err := p.startHeld(ctx, found[0]); err != nil {
		return nil, fmt.Errorf("start sandbox %s again: %w", name, err)
	}
	fault.Point("pool.adopt.started")
	ctx, cancel := context.WithTimeout(ctx, p.config.BootTimeout)
	defer cancel()
	s, err := p.connect(ctx, name, found[0].ID, found[0].NetworkOf)
	if err != nil {
		return nil, fmt.Errorf("adopt sandbox %s: %w", name, err)
	}
	return s, nil
}

// containers of the named sandbox but the holder of its network: one, or none.
func (p *Pool) containers(ctx context.Context, name string) ([]engine.Container, error) {
	found, err := p.host.List(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox+"="+name)
	return slices.DeleteFunc(found, isHolder), err
}

// Runs says whether the named sandbox's container runs. One that is gone does not.
func (p *Pool) Runs(ctx context.Context, name string) (bool, error) {
	found, err := p.containers(ctx, name)
	if err != nil {
		return false, fmt.Errorf("look for sandbox %s: %w", name, err)
	}
	return slices.ContainsFunc(found, func(c engine.Container) bool { return c.State.Alive() }), nil
}

// CheckInstance refuses a name that another docker-sd uses on this engine: each
// would remove the other's sandboxes as strays.
func (p *Pool) CheckInstance(ctx context.Context) error {
	containers, err := p.host.List(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox)
	if err != nil {
		return fmt.Errorf("find earlier sandboxes: %w", err)
	}
	for _, c := range containers {
		if folder := c.Labels[engine.LabelFolder]; folder != p.config.Dir {
			return fmt.Errorf("a docker-sd of the same Instance %q, with its data in %s, made sandbox %s: "+
				"choose another Instance, or remove those containers: %w",
				p.config.Instance, filepath.Dir(folder), c.Name, errdefs.ErrFailedPrecondition)
		}
	}
	return p.markSubnets(ctx)
}

// markSubnets takes the networks of earlier sandboxes out of the free ones.
func (p *Pool) markSubnets(ctx context.Context) error {
	networks, err := p.host.ListNetworks(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox)
	if err != nil {
		return fmt.Errorf("find earlier networks: %w", err)
	}
	for _, n := range networks {
		if prefix, err := netip.ParsePrefix(n.Subnet); err == nil {
			p.subnets.claim(n.Labels[engine.LabelSandbox], prefix)
		}
	}
	return nil
}

// own are the labels of what is this pool's: whatever a docker-sd of the same name
// makes, that was not there yet for CheckInstance, is not its to remove.
func (p *Pool) own() []string {
	return []string{engine.LabelInstance + "=" + p.config.Instance, engine.LabelSandbox, engine.LabelFolder + "=" + p.config.Dir}
}

// Keep notes the sandboxes that pods of an earlier run hold, by pool name or by
// the name that Assign gave them. False stands for a sandbox that was to be
// retired: its folder stays, and Restore removes what else there is.
func (p *Pool) Keep(claimed map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.known, claimed)
}

// Restore puts the warm sandboxes of an earlier run back into the pool and
// removes what that run left half-made: everything with our label that no pod
// holds. One that was a pod's stays for StrayGrace: its record may have been lost
// with a data folder that is not mounted. Keep comes before it, Run after it.
func (p *Pool) Restore(ctx context.Context) error {
	containers, err := p.host.List(ctx, p.own()...)
	if err != nil {
		return fmt.Errorf("find earlier sandboxes: %w", err)
	}
	networks, err := p.host.ListNetworks(ctx, p.own()...)
	if err != nil {
		return fmt.Errorf("find earlier networks: %w", err)
	}
	holders, containers := divide(containers)
	served := map[string]bool{}
	for _, c := range containers {
		name := c.Labels[engine.LabelSandbox]
		switch {
		case p.knows(c.Name):
			p.know(name)
		case p.retired(name), p.knows(name):
		case p.podFiles(name):
			served[name] = true
		case !p.rejoinStandby(ctx, c):
			served[name] = p.rejoin(ctx, c)
		}
	}
	used := map[string]bool{}
	for _, n := range networks {
		used[n.Labels[engine.LabelSandbox]] = false
	}
	for _, c := range holders {
		used[c.Labels[engine.LabelSandbox]] = false
		p.rejoinHolder(c, containers)
	}
	for _, c := range containers {
		name := c.Labels[engine.LabelSandbox]
		used[name] = served[name] || c.Name != name && c.Name != standbyName(name)
	}
	var problems []error
	for name, used := range used {
		switch {
		case !IsName(name) || p.knows(name):
		case p.retired(name):
			problems = append(problems, p.Retire(ctx, name))
		case used:
			log.G(ctx).WithField("sandbox", name).WithField("grace", p.config.StrayGrace).
				Warn("a sandbox was a pod's that this data folder knows nothing of; it is removed after StrayGracePeriod")
			p.stray(name, time.Now())
		default:
			problems = append(problems, p.removeStray(ctx, name, "removing what an earlier run left"))
			fault.Point("pool.restore.removed")
		}
	}
	problems = append(problems, p.sweepFolders(ctx), p.sweepVolumes(ctx))
	return errors.Join(problems...)
}

// rejoin takes a running, never assigned sandbox of the same settings back as warm.
// It says whether a pod's containers are in it, or may be.
func (p *Pool) rejoin(ctx context.Context, c engine.Container) (served bool) {
	name := c.Labels[engine.LabelSandbox]
	if c.Name != name || c.State.Status != engine.StatusRunning || !IsName(name) ||
		c.Labels[engine.LabelGeneration] != p.currentShape().generation || p.Stats().Warm >= p.config.Size {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := p.connect(ctx, name, c.ID, c.NetworkOf)
	if err != nil {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("a sandbox of an earlier run does not answer")
		return false
	}
	if err := s.checkUnused(ctx); err != nil {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("a sandbox of an earlier run is not taken as warm")
		return errdefs.IsConflict(err)
	}
	s.generation = c.Labels[engine.LabelGeneration]
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.outdated(s) {
		p.known[name] = true
		p.warm = append(p.warm, s)
		p.config.Observer.Sandbox(EventRejoined, name)
	}
	return false
}

// sweepPeriod is how often strays are looked for while docker-sd runs.
const sweepPeriod = time.Minute

// sweepEvery removes sandboxes that carry our label and that nobody knows, such
// as one whose creation was answered after we had stopped listening. Young ones
// are left: their owner may be about to claim them.
func (p *Pool) sweepEvery(ctx context.Context) {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	tries := retry.New(sweepPeriod, sweepPeriod)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := p.sweep(ctx); err != nil {
			tries.Note(ctx, "strays could not be looked for or removed", err)
		} else {
			tries.Succeeded(ctx, "strays are looked for again")
		}
		p.signal()
	}
}

func (p *Pool) sweep(ctx context.Context) error {
	containers, err := p.host.List(ctx, p.own()...)
	if err != nil {
		return err
	}
	networks, err := p.host.ListNetworks(ctx, p.own()...)
	if err != nil {
		return err
	}
	if err := errors.Join(p.dropDeadStandbys(ctx, containers), p.dropDeadHolders(ctx, containers)); err != nil {
		return err
	}
	born := map[string]time.Time{}
	for _, n := range networks {
		born[n.Labels[engine.LabelSandbox]] = n.Created
	}
	for _, c := range containers {
		born[c.Labels[engine.LabelSandbox]] = c.Created
	}
	p.forgetStrays(born)
	problems := p.sweepCondemned(ctx)
	for name, created := range born {
		switch {
		case !IsName(name) || p.knows(name):
		case p.retired(name):
			problems = append(problems, p.Retire(ctx, name))
		case time.Since(p.stray(name, created)) >= p.config.StrayGrace:
			problems = append(problems, p.removeStray(ctx, name, "removing a sandbox that nobody knows"))
		}
	}
	problems = append(problems, p.sweepVolumes(ctx))
	return errors.Join(problems...)
}

// sweepCondemned destroys what could not be destroyed when it was to be, whatever
// is left of it: that was decided, so neither grace nor dry run applies.
func (p *Pool) sweepCondemned(ctx context.Context) (problems []error) {
	p.mu.Lock()
	names := slices.Collect(maps.Keys(p.condemned))
	p.mu.Unlock()
	for _, name := range names {
		p.mu.Lock()
		still := p.condemned[name] && !p.known[name]
		p.mu.Unlock()
		if still {
			problems = append(problems, p.Destroy(ctx, name))
		}
	}
	return problems
}

// stray returns since when a sandbox has been seen as one that nobody knows. Its
// age by the wall clock counts for no more than the time between two looks: a
// clock that was set must not make it old.
func (p *Pool) stray(name string, created time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, seen := p.strays[name]; !seen {
		p.strays[name] = time.Now().Add(-min(max(time.Since(created), 0), sweepPeriod))
	}
	return p.strays[name]
}

// forgetStrays drops those that are not there any more, or that somebody has
// taken on.
func (p *Pool) forgetStrays(present map[string]time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.strays {
		if _, there := present[name]; !there || p.known[name] {
			delete(p.strays, name)
		}
	}
}

// removeStray removes a sandbox that nobody knows. In a dry run it only says so,
// once.
func (p *Pool) removeStray(ctx context.Context, name, why string) error {
	if p.config.StrayDryRun {
		if p.firstSaid(name) {
			log.G(ctx).WithField("sandbox", name).Warn("a sandbox that nobody knows is left alone: StrayDryRun is on")
		}
		return nil
	}
	log.G(ctx).WithField("sandbox", name).Info(why)
	p.config.Observer.Sandbox(EventSwept, name)
	return p.Destroy(ctx, name)
}

func (p *Pool) firstSaid(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.spared[name]
	p.spared[name] = true
	return first
}

// retired says whether only the folder of a sandbox is kept.
func (p *Pool) retired(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, kept := p.known[name]
	return kept && !known
}

func (p *Pool) knows(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[name]
}

// sweepFolders removes folders whose sandbox nobody knows, and that is not there.
func (p *Pool) sweepFolders(ctx context.Context) error {
	entries, err := os.ReadDir(p.config.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	problems := []error{err}
	for _, entry := range entries {
		path := filepath.Join(p.config.Dir, entry.Name())
		switch {
		case p.knowsFolder(path):
		case p.config.StrayDryRun:
			log.G(ctx).WithField("folder", path).Warn("a folder that belongs to no sandbox is left alone: StrayDryRun is on")
		default:
			problems = append(problems, p.config.RemoveFolder(ctx, path))
		}
	}
	return errors.Join(problems...)
}

func (p *Pool) knowsFolder(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.known {
		if p.folder(name) == path {
			return true
		}
	}
	for name := range p.strays {
		if p.folder(name) == path {
			return true
		}
	}
	return false
}
