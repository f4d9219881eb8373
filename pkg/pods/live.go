package pods

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
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
		return nil
	}
	if p.claim != nil {
		p.fetchImages(ctx)
		fault.Point("pods.images.fetched")
	}
	s, err := p.placeFirst(ctx)
	if err != nil && r.Final == nil && p.spec.Spec.RestartPolicy != v1.RestartPolicyNever {
		p.lookedUp()
		s, err = p.regain(ctx)
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
		p.fail(ctx, v1.ContainerStateTerminated{ExitCode: 137, Reason: reasonUnknown,
			Message: "the sandbox of this pod was lost while docker-sd was away: " + err.Error()})
		return nil
	case r.Final == nil:
		if s, err = p.keepServing(ctx, s); ctx.Err() != nil {
			return s
		}
		p.outcome(ctx, s, err)
	}
	if err := p.archive(ctx, s); err != nil {
		if ctx.Err() == nil {
			log.G(ctx).WithError(err).Warn("the ended pod keeps its sandbox: its logs could not be kept elsewhere")
		}
		return s
	}
	return nil
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

// lossMessage is what users read of containers that died with their sandbox.
const lossMessage = "the pod's sandbox stopped: it was killed, ran out of memory, or its engine was stopped"

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
	s, err := p.m.sandboxes.Adopt(ctx, p.peek().Sandbox)
	if err == nil {
		p.sandbox.Store(s)
		p.findInstances(ctx, s)
		return s, nil
	}
	if ctx.Err() != nil || p.spec.Spec.RestartPolicy == v1.RestartPolicyNever && p.ranBefore() {
		return nil, err
	}
	old := p.peek().Sandbox
	log.G(ctx).WithField("sandbox", old).WithError(err).Warn("the sandbox is lost, the pod starts over in another")
	if err := p.m.sandboxes.Destroy(ctx, old); err != nil && !errdefs.IsUnavailable(err) {
		return nil, err
	}
	fault.Point("pods.regain.destroyed")
	claim := p.m.sandboxes.Reserve(hostPorts(p.spec))
	if err := p.change(func(r *record) { r.Sandbox, r.Placed = claim.Name, false }); err != nil {
		p.m.sandboxes.Return(claim)
		return nil, err
	}
	fault.Point("pods.regain.recorded")
	p.forgetInstances()
	p.claim, p.resumed, p.startedOver = claim, false, true
	return p.place(ctx)
}

// outcome turns how serving ended into the pod's final state.
func (p *pod) outcome(ctx context.Context, s *pool.Sandbox, err error) {
	over := &evicted{}
	switch {
	case err == nil:
		p.conclude(ctx)
	case errors.Is(err, errGone):
		p.fail(ctx, v1.ContainerStateTerminated{ExitCode: 137, Reason: reasonUnknown, Message: lossMessage})
	case errors.As(err, &over):
		p.stopAll(p.m.life, s, gracePeriod(p.spec, nil))
		p.fail(ctx, v1.ContainerStateTerminated{ExitCode: 137, Reason: "Evicted", Message: "Evicted: " + over.message})
	case errors.Is(err, errDeadline):
		p.stopAll(p.m.life, s, gracePeriod(p.spec, nil))
		p.fail(ctx, v1.ContainerStateTerminated{ExitCode: 137, Reason: "DeadlineExceeded",
			Message: fmt.Sprintf("DeadlineExceeded: %s (%d)", errDeadline, *p.spec.Spec.ActiveDeadlineSeconds)})
	default:
		p.stopAll(p.m.life, s, gracePeriod(p.spec, nil))
		p.fail(ctx, v1.ContainerStateTerminated{ExitCode: 128, Reason: "CreateContainerError", Message: err.Error()})
	}
}
