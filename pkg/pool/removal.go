package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// removal removes sandboxes and keeps account of what could not be removed.
type removal struct {
	remover  *sandbox.Remover
	registry *registry
	observer Observer
	// dryRun has strays named in the log and left alone.
	dryRun bool

	mu sync.Mutex
	// reported are the strays that a dry run has named.
	reported map[string]bool
}

func newRemoval(remover *sandbox.Remover, registry *registry, observer Observer, dryRun bool) *removal {
	return &removal{remover: remover, registry: registry, observer: observer, dryRun: dryRun, reported: map[string]bool{}}
}

// destroy removes all that there is of a sandbox. The sweep tries again what fails, so
// that the caller need not.
func (r *removal) destroy(ctx context.Context, name string) error {
	if sandbox.IsName(name) {
		r.registry.set(name, stateRemoving)
	}
	err := r.remover.Destroy(ctx, name)
	switch {
	case !sandbox.IsName(name):
	case err != nil:
		r.registry.set(name, stateLeftover)
	default:
		r.registry.forget(name)
	}
	return err
}

// release removes a sandbox's container and network and keeps its folder.
func (r *removal) release(ctx context.Context, name string) error {
	r.registry.release(name)
	return r.remover.Remove(ctx, name)
}

// clear removes what a crash has left of a sandbox that is made once more under its
// name. The name keeps its owner: until there is something of the new one, and while
// there is something of both, it is no stray.
func (r *removal) clear(ctx context.Context, name string) error {
	if sandbox.IsName(name) {
		r.registry.set(name, stateBooting)
	}
	return r.remover.Destroy(ctx, name)
}

// cleanTimeout bounds the removal of what a failed boot made. The sweep takes
// what an engine that hangs leaves.
const cleanTimeout = 20 * time.Second

// undo destroys what was made of a sandbox, also for a caller that has left. It returns
// why that has to be, with what goes wrong.
func (r *removal) undo(ctx context.Context, name string, why error) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	return errors.Join(why, r.destroy(clean, name))
}

// discard destroys a sandbox that is not needed any more.
func (r *removal) discard(ctx context.Context, name string) {
	if err := r.destroy(ctx, name); err != nil && ctx.Err() == nil {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("a stale sandbox could not be removed")
	}
}

// removeStray removes a sandbox without an owner. In a dry run it only says so, once.
func (r *removal) removeStray(ctx context.Context, name, why string) error {
	if r.dryRun {
		if r.report(name) {
			log.G(ctx).WithField("sandbox", name).Warn("a sandbox that nobody knows is left alone: StrayDryRun is on")
		}
		return nil
	}
	log.G(ctx).WithField("sandbox", name).Info(why)
	r.observer.Sandbox(EventSwept, name)
	return r.destroy(ctx, name)
}

// report notes that a stray is named; it says whether that is the first time.
func (r *removal) report(name string) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = !r.reported[name]
	r.reported[name] = true
	return first
}
