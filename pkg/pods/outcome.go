package pods

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// outcome turns how serving ended into the pod's final state. It does not, if ctx
// ends first.
func (p *pod) outcome(ctx context.Context, s *pool.Sandbox, err error) {
	over := &evicted{}
	switch {
	case err == nil:
		p.conclude(ctx)
	case errors.Is(err, errGone):
		p.fail(ctx, v1.ContainerStateTerminated{ExitCode: 137, Reason: reasonUnknown, Message: lossMessage})
	case errors.As(err, &over):
		grace := gracePeriod(p.spec, nil)
		if over.atOnce {
			grace = 0
		}
		p.endWithin(ctx, s, v1.ContainerStateTerminated{ExitCode: 137, Reason: reasonEvicted, Message: reasonEvicted + ": " + over.message}, grace)
	case errors.Is(err, errDeadline):
		p.endWith(ctx, s, v1.ContainerStateTerminated{ExitCode: 137, Reason: "DeadlineExceeded",
			Message: fmt.Sprintf("DeadlineExceeded: %s (%d)", errDeadline, *p.spec.Spec.ActiveDeadlineSeconds)})
	default:
		p.endWith(ctx, s, v1.ContainerStateTerminated{ExitCode: 128, Reason: "CreateContainerError", Message: err.Error()})
	}
}

// endWith stops what runs of the pod and ends all that had not ended with one
// state. It is on disk before: a container may end by itself while it is being
// stopped, with 0, and a docker-sd that finds that must not take it for success.
func (p *pod) endWith(ctx context.Context, s *pool.Sandbox, end v1.ContainerStateTerminated) {
	p.endWithin(ctx, s, end, gracePeriod(p.spec, nil))
}

func (p *pod) endWithin(ctx context.Context, s *pool.Sandbox, end v1.ContainerStateTerminated, grace time.Duration) {
	if p.peek().Verdict == nil {
		if err := p.note(func(r *record) { r.Verdict = &end }); err != nil {
			log.G(ctx).WithError(err).Warn("why the pod is ended could not be saved")
		}
		fault.Point("pods.verdict.recorded")
	}
	err := p.stopAll(ctx, s, grace)
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("not all containers of the pod could be stopped, its sandbox is removed")
		p.giveUpSandbox(ctx)
	}
	if ctx.Err() != nil {
		return // a delete has its own grace; the next docker-sd goes on here
	}
	p.fail(ctx, end)
}

// failLost ends a pod whose sandbox does not come back. Its containers may run in
// there all the same, where only its engine is mute: nobody may take the pod for
// ended, and nobody else gets its devices, until they are gone.
func (p *pod) failLost(ctx context.Context, verdict *v1.ContainerStateTerminated, why error) {
	if p.giveUpSandbox(ctx); ctx.Err() != nil {
		return
	}
	if verdict == nil {
		verdict = &v1.ContainerStateTerminated{ExitCode: 137, Reason: reasonUnknown,
			Message: "the sandbox of this pod was lost while docker-sd was away: " + why.Error()}
	}
	p.fail(ctx, *verdict)
}

// giveUpSandbox removes the pod's sandbox but for its folder, and tries again until
// that is done or ctx ends.
func (p *pod) giveUpSandbox(ctx context.Context) {
	tries := retry.New(time.Second, 30*time.Second)
	for {
		err := p.m.sandboxes.Retire(ctx, p.peek().Sandbox)
		if err == nil || tries.Failed(ctx, "the sandbox of a pod that was lost could not be removed, trying again", err) != nil {
			return
		}
	}
}

// overStatuses are those of main containers that have ended and will not run again
// when the pod starts over; init containers do.
func (p *pod) overStatuses() []v1.ContainerStatus {
	statuses, _ := p.snapshot()
	var out []v1.ContainerStatus
	for i := range p.spec.Spec.Containers {
		r := p.runner(&p.spec.Spec.Containers[i], nil, nil)
		status := statuses[r.spec.Name]
		if end := status.State.Terminated; end != nil && !r.restarts(*end) {
			out = append(out, status)
		}
	}
	return out
}

// overBefore is how the container ended for good in a sandbox that was lost since:
// it does not run again only because the others do.
func (r *runner) overBefore() *v1.ContainerStateTerminated {
	for _, status := range r.p.peek().Over {
		if status.Name == r.spec.Name {
			return status.State.Terminated
		}
	}
	return nil
}
