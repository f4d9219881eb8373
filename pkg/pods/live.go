package pods

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// live places the pod and runs its containers. It returns when all of them have
// ended for good, when the pod cannot run, or when ctx ends; the sandbox that it
// returns still exists.
func (p *pod) live(ctx context.Context) *pool.Sandbox {
	r := p.peek()
	if r.Final != nil {
		p.state.restore(r.Final)
		p.lookedUp()
	}
	if r.Archived {
		p.locate()
		p.clearEvicted(ctx)
		return nil
	}
	p.state.restoreOver(r.Over)
	if p.claim != nil {
		p.fetchImages(ctx)
		fault.Point("pods.images.fetched")
	}
	s, err := p.placeFirst(ctx)
	if err != nil && ctx.Err() == nil && r.Final == nil && r.Verdict == nil && p.spec.Spec.RestartPolicy != v1.RestartPolicyNever {
		p.lookedUp()
		s, err = p.startOver(ctx, err)
	}
	if ctx.Err() != nil {
		return s
	}
	if s != nil && p.resumed {
		p.findInstances(ctx, s)
	}
	p.locate()
	switch {
	case r.Final != nil && err != nil:
		return nil // only its logs are lost
	case err != nil:
		p.report(ctx, EventLost, "", nil)
		p.failLost(ctx, r.Verdict, err)
		return nil
	case r.Final == nil && r.Verdict != nil:
		if p.endWith(ctx, s, *r.Verdict); ctx.Err() != nil {
			return s
		}
	case r.Final == nil:
		if s, err = p.keepServing(ctx, s); ctx.Err() != nil {
			return s
		}
		if p.outcome(ctx, s, err); ctx.Err() != nil {
			return s
		}
	}
	return p.letGo(ctx, s)
}

// letGo archives an ended pod and gives its sandbox up. It tries again where that
// may help, such as when the disk is full, and returns the sandbox if it stays.
func (p *pod) letGo(ctx context.Context, s *pool.Sandbox) *pool.Sandbox {
	tries := retry.New(time.Second, time.Minute)
	for {
		err := p.archive(ctx, s)
		if err == nil {
			tries.Succeeded(ctx, "the ended pod's logs are kept, its sandbox is let go")
			return nil
		}
		if p.peek().Archived {
			tries.Note(ctx, "the ended pod's sandbox is left to the sweep", err)
			return nil
		}
		select {
		case <-s.Gone():
			// It stopped once more, as when its engine is being restarted.
			next, lost := p.find(ctx)
			if lost != nil {
				tries.Note(ctx, "the ended pod keeps its sandbox: its logs could not be kept elsewhere", errors.Join(err, lost))
				return s
			}
			s = next
			p.sandbox.Store(s)
		default:
		}
		if tries.Failed(ctx, "the ended pod keeps its sandbox for now: its logs could not be kept elsewhere", err) != nil {
			return s
		}
	}
}

// placeFirst is place; for a new pod it is a step of its start.
func (p *pod) placeFirst(ctx context.Context) (*pool.Sandbox, error) {
	if p.claim == nil {
		return p.place(ctx)
	}
	step, done := p.step(ctx, StepClaim)
	s, err := p.place(step)
	done(err)
	return s, err
}

// keepServing serves the pod through losses of its sandbox, as far as its
// restart policy allows.
func (p *pod) keepServing(ctx context.Context, s *pool.Sandbox) (*pool.Sandbox, error) {
	delays := restartDelays{}
	for {
		began := time.Now()
		err := p.serve(ctx, s)
		if !errors.Is(err, errGone) || ctx.Err() != nil {
			return s, err
		}
		log.G(ctx).WithField("sandbox", s.Name).Warn("the sandbox stopped under its pod")
		p.report(ctx, EventLost, "", log.Fields{"sandbox": s.Name})
		p.showLoss()
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(delays.next(time.Since(began))):
		}
		next, err := p.regain(ctx)
		if err != nil {
			return s, errors.Join(errGone, err)
		}
		s = next
	}
}

// What users read of containers that died with their sandbox.
const (
	lossMessage   = "the pod's sandbox stopped: it was killed, ran out of memory, or its engine was stopped"
	rebootMessage = "the pod's sandbox stopped: its host was started again"
)

// noteLoss remembers why containers of a sandbox that was found stopped have ended.
func (p *pod) noteLoss(s *pool.Sandbox) {
	switch {
	case !s.Stopped:
	case p.peek().rebooted(now()):
		p.loss = rebootMessage
	default:
		p.loss = lossMessage
	}
}

// showLoss reports containers that will run again as waiting, not as ended.
func (p *pod) showLoss() {
	p.loss = lossMessage
	if p.spec.Spec.RestartPolicy == v1.RestartPolicyNever {
		return
	}
	p.abandon(func(status v1.ContainerStatus) v1.ContainerState {
		return waiting(reasonCrashLoop, lossMessage)
	})
}

// regain starts the lost sandbox again, with what is left of its containers. One
// that is gone for good is replaced, if the pod may start over.
func (p *pod) regain(ctx context.Context) (*pool.Sandbox, error) {
	p.resumed = true
	s, err := p.find(ctx)
	if err == nil {
		p.sandbox.Store(s)
		p.findInstances(ctx, s)
		return s, nil
	}
	if ctx.Err() != nil || p.spec.Spec.RestartPolicy == v1.RestartPolicyNever && p.ranBefore() {
		return nil, err
	}
	return p.startOver(ctx, err)
}

// adoptTries is how often a sandbox is asked to come back that its engine could
// not start, or that does not answer.
const adoptTries = 5

// find looks for the pod's sandbox from before, for as long as the host's engine
// is away. ErrNotFound and what else it returns say that the sandbox is lost.
func (p *pod) find(ctx context.Context) (*pool.Sandbox, error) {
	tries := retry.New(time.Second, 10*time.Second)
	for refused := 0; ; {
		s, err := p.m.sandboxes.Adopt(ctx, p.peek().Sandbox)
		switch {
		case err == nil:
			tries.Succeeded(ctx, "the pod's sandbox is there again")
			return s, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errdefs.IsUnavailable(err):
		default:
			if refused++; refused >= adoptTries || errdefs.IsNotFound(err) {
				return nil, err
			}
		}
		p.explain("waiting for the pod's sandbox: " + err.Error())
		if err := tries.Failed(ctx, "the pod's sandbox does not come back yet, trying again", err); err != nil {
			return nil, err
		}
	}
}

// startOver replaces a lost sandbox. What ran in it runs again. As long as that
// cannot be written down the old one is kept, and taken if it comes back: what
// lets no record be saved may keep a sandbox from starting too.
func (p *pod) startOver(ctx context.Context, why error) (*pool.Sandbox, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	old, over := p.peek().Sandbox, p.overStatuses()
	claim := p.m.sandboxes.Reserve(hostPorts(p.spec))
	tries := retry.New(time.Second, 15*time.Second)
	for {
		err := p.change(func(r *record) { r.Former, r.Sandbox, r.Placed, r.Over = old, claim.Name, false, over })
		if err == nil {
			break
		}
		p.explain("waiting for its record to be saved: " + err.Error())
		if err := tries.Failed(ctx, "the pod's new place could not be saved, trying again", err); err != nil {
			p.m.sandboxes.Return(claim)
			return nil, err
		}
		if s, err := p.m.sandboxes.Adopt(ctx, old); err == nil {
			p.m.sandboxes.Return(claim)
			p.noteLoss(s)
			p.sandbox.Store(s)
			p.findInstances(ctx, s)
			return s, nil
		}
	}
	log.G(ctx).WithField("sandbox", old).WithError(why).Warn("the sandbox is lost, the pod starts over in another")
	fault.Point("pods.regain.recorded")
	if err := p.dropFormer(ctx); err != nil {
		p.m.sandboxes.Return(claim)
		return nil, err
	}
	fault.Point("pods.regain.destroyed")
	p.forgetInstances()
	p.claim, p.resumed, p.startedOver = claim, false, true
	return p.place(ctx)
}

// dropFormer removes the sandbox that the pod's present one replaces. It returns when
// nothing runs in it any more, however long that takes: a pod never runs twice. What
// is left of a sandbox that has stopped, the sweep takes.
func (p *pod) dropFormer(ctx context.Context) error {
	former := p.peek().Former
	if former == "" {
		return nil
	}
	tries := retry.New(time.Second, 15*time.Second)
	for {
		err := p.m.sandboxes.Destroy(ctx, former)
		if err == nil {
			tries.Succeeded(ctx, "the lost sandbox is removed")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if runs, unknown := p.m.sandboxes.Runs(ctx, former); unknown == nil && !runs {
			tries.Note(ctx, "the lost sandbox has stopped, what is left of it is left to the sweep", err)
			return nil
		}
		p.explain("waiting until the pod's lost sandbox " + former + " is gone: " + err.Error())
		if err := tries.Failed(ctx, "the lost sandbox may still run, so its pod does not start again yet", err); err != nil {
			return err
		}
	}
}
