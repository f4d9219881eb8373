package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// recovery takes back what an earlier run of docker-sd has left on the host, or removes it.
type recovery struct {
	config   Config
	maker    *sandbox.Maker
	finder   *sandbox.Finder
	remover  *sandbox.Remover
	registry *registry
	removal  *removal
	observer Observer
}

// restore puts what waited for a pod back into the pool, and removes all else that no pod
// holds.
func (r *recovery) restore(ctx context.Context) error {
	found, err := r.finder.All(ctx)
	if err != nil {
		return err
	}
	served := r.takeBack(ctx, found.Sandboxes)
	for _, c := range found.Holders {
		r.rejoinHolder(c, found.Sandboxes)
	}
	// Whether a sandbox may be a pod's that has no record.
	used := map[string]bool{}
	for name := range createdAt(found) {
		used[name] = false
	}
	for _, c := range found.Sandboxes {
		name := c.Labels[engine.LabelSandbox]
		used[name] = served[name] || c.Name != name && c.Name != sandbox.StandbyName(name)
	}
	var problems []error
	for name, used := range used {
		problems = append(problems, r.clean(ctx, name, used))
	}
	problems = append(problems, r.sweepFolders(ctx), r.remover.RemoveVolumesSoon(ctx))
	return errors.Join(problems...)
}

// takeBack has the pool take back what it can of these containers, and pods theirs. It
// returns the sandboxes in which a pod's containers are, or its files, or may be.
func (r *recovery) takeBack(ctx context.Context, containers []engine.Container) (served map[string]bool) {
	served = map[string]bool{}
	for _, c := range containers {
		name := c.Labels[engine.LabelSandbox]
		switch state := r.registry.state(name); {
		case r.registry.state(c.Name).owned():
			if !state.owned() {
				r.registry.set(name, stateClaimed)
			}
		case state == stateReleased, state.owned():
		case r.config.HasPodFiles(name):
			served[name] = true
		case r.rejoinStandby(ctx, c):
		default:
			served[name] = r.rejoin(ctx, c)
		}
	}
	return served
}

// clean removes a sandbox unless it has an owner. One that may be a pod's is left for
// the sweep.
func (r *recovery) clean(ctx context.Context, name string, used bool) error {
	switch state := r.registry.state(name); {
	case !sandbox.IsName(name) || state.owned():
		return nil
	case state == stateReleased:
		return r.removal.release(ctx, name)
	case used:
		log.G(ctx).WithField("sandbox", name).WithField("grace", r.config.StrayGrace).
			Warn("a sandbox was a pod's that this data folder knows nothing of; it is removed after StrayGracePeriod")
		r.registry.stray(name, time.Now())
		return nil
	}
	err := r.removal.removeStray(ctx, name, "removing what an earlier run left")
	fault.Point("pool.restore.removed")
	return err
}

// rejoin takes a running, never assigned sandbox of the same settings back as warm.
// It says whether a pod's containers are in it, or may be.
func (r *recovery) rejoin(ctx context.Context, c engine.Container) (served bool) {
	name, generation := c.Labels[engine.LabelSandbox], c.Labels[engine.LabelGeneration]
	if c.Name != name || c.State.Status != engine.StatusRunning || !sandbox.IsName(name) ||
		generation != r.registry.shape().generation || r.registry.count(stateWarm) >= r.config.Size {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := r.maker.Connect(ctx, c)
	if err != nil {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("a sandbox of an earlier run does not answer")
		return false
	}
	if err := s.CheckUnused(ctx); err != nil {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("a sandbox of an earlier run is not taken as warm")
		return errdefs.IsConflict(err)
	}
	if r.registry.add(entry{name: name, state: stateWarm, sandbox: s, generation: generation}, r.config.Size) {
		r.observer.Sandbox(EventRejoined, name)
	}
	return false
}

// rejoinStandby takes one of an earlier run back; it says whether the container
// was one.
func (r *recovery) rejoinStandby(ctx context.Context, c engine.Container) bool {
	return r.maker.StandsBy(ctx, c) && r.registry.add(entry{name: c.Labels[engine.LabelSandbox], state: stateStandby, id: c.ID,
		generation: c.Labels[engine.LabelGeneration], epoch: unknownEpoch}, r.config.Standby)
}

// rejoinHolder takes one of an earlier run back, unless it is one of these sandboxes'.
func (r *recovery) rejoinHolder(c engine.Container, sandboxes []engine.Container) {
	name := c.Labels[engine.LabelSandbox]
	used := slices.ContainsFunc(sandboxes, func(s engine.Container) bool { return s.Labels[engine.LabelSandbox] == name })
	if used || c.State.Status != engine.StatusRunning || c.Name != sandbox.HolderName(name) || !sandbox.IsName(name) ||
		c.Labels[engine.LabelGeneration] != r.config.HolderGeneration() {
		return
	}
	if state := r.registry.state(name); state.owned() || state == stateReleased {
		return
	}
	r.registry.add(entry{name: name, state: stateHolder, id: c.ID}, r.config.Holders)
}

// sweepFolders removes folders of sandboxes that have no owner and are not there.
func (r *recovery) sweepFolders(ctx context.Context) error {
	entries, err := os.ReadDir(r.config.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	problems := []error{err}
	kept := map[string]bool{}
	for _, name := range r.registry.names(state.keepsFolder) {
		kept[r.config.Folder(name)] = true
	}
	for _, entry := range entries {
		path := filepath.Join(r.config.Dir, entry.Name())
		switch {
		case kept[path]:
		case r.config.StrayDryRun:
			log.G(ctx).WithField("folder", path).Warn("a folder that belongs to no sandbox is left alone: StrayDryRun is on")
		default:
			problems = append(problems, r.config.RemoveFolder(ctx, path))
		}
	}
	return errors.Join(problems...)
}
