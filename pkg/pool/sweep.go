package pool

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// sweeper removes sandboxes that carry the labels of this docker-sd and have no owner,
// such as one whose creation was answered after the caller had stopped listening. Young
// ones are left: their owner may be about to claim them.
type sweeper struct {
	finder   *sandbox.Finder
	remover  *sandbox.Remover
	registry *registry
	removal  *removal
	// grace is the age from which a stray is removed.
	grace time.Duration
}

// run sweeps until ctx ends, and calls swept after each time.
func (w *sweeper) run(ctx context.Context, swept func()) {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	tries := retry.New(sweepPeriod, sweepPeriod)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.sweep(ctx); err != nil {
			tries.Note(ctx, "strays could not be looked for or removed", err)
		} else {
			tries.Succeeded(ctx, "strays are looked for again")
		}
		swept()
	}
}

// sweep looks once.
func (w *sweeper) sweep(ctx context.Context) error {
	found, err := w.finder.All(ctx)
	if err != nil {
		return err
	}
	err = errors.Join(w.removeDead(ctx, stateStandby, "a standby sandbox died, it is replaced", found),
		w.removeDead(ctx, stateHolder, "a network that was made ahead is of no use, it is replaced", found))
	if err != nil {
		return err
	}
	created := createdAt(found)
	w.registry.forgetStrays(created)
	problems := w.removeLeftovers(ctx)
	for name, since := range created {
		problems = append(problems, w.look(ctx, name, since))
	}
	problems = append(problems, w.remover.RemoveVolumes(ctx))
	return errors.Join(problems...)
}

// createdAt is when what there is of each sandbox was made.
func createdAt(found sandbox.Found) map[string]time.Time {
	out := map[string]time.Time{}
	for _, n := range found.Networks {
		out[n.Labels[engine.LabelSandbox]] = n.Created
	}
	for _, c := range found.Containers() {
		out[c.Labels[engine.LabelSandbox]] = c.Created
	}
	return out
}

// look removes a sandbox that is there if its time has come.
func (w *sweeper) look(ctx context.Context, name string, created time.Time) error {
	switch state := w.registry.state(name); {
	case !sandbox.IsName(name) || state.owned() || state == stateLeftover:
	case state == stateReleased:
		return w.removal.release(ctx, name)
	case time.Since(w.registry.stray(name, created)) >= w.grace:
		return w.removal.removeStray(ctx, name, "removing a sandbox that nobody knows")
	}
	return nil
}

// removeDead removes what was made ahead and whose container does not run any more.
func (w *sweeper) removeDead(ctx context.Context, what state, message string, found sandbox.Found) error {
	dead := map[string]bool{}
	for _, c := range found.Containers() {
		dead[c.ID] = c.State.Status != engine.StatusRunning
	}
	var problems []error
	for _, name := range w.registry.takeDead(what, dead) {
		log.G(ctx).WithField("sandbox", name).Warn(message)
		problems = append(problems, w.removal.destroy(ctx, name))
	}
	return errors.Join(problems...)
}

// removeLeftovers destroys what could not be destroyed when it was to be, whatever
// is left of it: that was decided, so neither grace nor dry run applies.
func (w *sweeper) removeLeftovers(ctx context.Context) (problems []error) {
	for _, name := range w.registry.names(func(s state) bool { return s == stateLeftover }) {
		if w.registry.state(name) == stateLeftover { // nothing has taken it on since
			problems = append(problems, w.removal.destroy(ctx, name))
		}
	}
	return problems
}
