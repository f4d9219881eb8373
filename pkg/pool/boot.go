package pool

import (
	"context"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// booter boots sandboxes, each from what was made ahead if there is something.
type booter struct {
	maker     *sandbox.Maker
	registry  *registry
	removal   *removal
	scheduler *scheduler
	observer  Observer
}

// order is a sandbox that is wanted.
type order struct {
	// name that the sandbox gets unless it is made from what has a name.
	name  string
	ports []engine.Port
	// image that it is made from, "" for the pool's.
	image string
	// anew wants the host's images as they are now: the pool may not have heard of
	// the last one yet.
	anew bool
}

// special says that the order is one pod's: nothing that was made ahead serves it, and its
// failure is not the node's.
func (o order) special() bool { return len(o.ports) > 0 || o.image != "" }

// boot returns a sandbox whose engine answers, and remembers how that went. The caller
// holds a slot. What a failed boot made is removed again.
func (b *booter) boot(ctx context.Context, o order) (*sandbox.Sandbox, error) {
	step, done := b.observer.Step(ctx, StepBoot, "sandbox", o.name)
	s, err := b.bootFrom(step, o)
	done(err)
	// A port that is taken on the host, or an image that is missing, is the trouble of the pod
	// that wants it, not of the node.
	if err == nil || !o.special() {
		b.scheduler.booted(ctx, err)
	}
	return s, err
}

// bootFrom boots from a standby, else with a holder, else from nothing.
func (b *booter) bootFrom(ctx context.Context, o order) (*sandbox.Sandbox, error) {
	spec := sandbox.Spec{Name: o.name, Ports: o.ports, Image: o.image}
	for !o.special() {
		from, found := b.registry.take(stateStandby)
		if !found {
			break
		}
		s, err := b.wake(ctx, from, o.anew)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		log.G(ctx).WithField("sandbox", from.name).WithError(err).Warn("a standby sandbox could not be woken, another one is made")
	}
	if !o.special() {
		if from, found := b.takeHolder(ctx); found {
			spec.Name, spec.Holder = from.name, from.id
		}
	}
	now := b.registry.shape()
	spec.Hardware = now.hardware
	if o.image != "" {
		now.generation = otherImage
	}
	return b.bootAs(ctx, spec, now)
}

// otherImage is the generation of sandboxes with an image of their own: no other sandbox is
// exchangeable for one.
const otherImage = "another image"

// bootAs boots a sandbox of this shape.
func (b *booter) bootAs(ctx context.Context, spec sandbox.Spec, now shape) (*sandbox.Sandbox, error) {
	b.registry.set(spec.Name, stateBooting)
	s, err := b.maker.Boot(ctx, spec)
	if err != nil {
		return nil, b.removal.undo(ctx, spec.Name, err)
	}
	b.registry.booted(s.Name, now.generation, now.epoch)
	return s, nil
}

// wake starts the engine of a standby and returns when it answers. What cannot
// be woken is removed. With anew it looks at the host's images again, whatever the
// pool knows of them.
func (b *booter) wake(ctx context.Context, from entry, anew bool) (*sandbox.Sandbox, error) {
	epoch := b.registry.shape().epoch
	s, err := b.maker.Wake(ctx, from.name, from.id, !anew && from.epoch == epoch)
	if err != nil {
		return nil, b.removal.undo(ctx, from.name, err)
	}
	b.registry.booted(s.Name, from.generation, epoch)
	return s, nil
}

// takeHolder takes one that runs, if there is one.
func (b *booter) takeHolder(ctx context.Context) (entry, bool) {
	for {
		from, found := b.registry.take(stateHolder)
		if !found {
			return from, false
		}
		err := b.maker.Holds(ctx, from.id)
		if err == nil {
			return from, true
		}
		if !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotFound(err) {
			// The engine is away, or the pod is not wanted any more.
			b.registry.set(from.name, stateHolder)
			return from, false
		}
		log.G(ctx).WithField("sandbox", from.name).WithError(err).Warn("a network that was made ahead is of no use, it is replaced")
		b.registry.set(from.name, stateLeftover) // for the sweep: a pod may be waiting
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
