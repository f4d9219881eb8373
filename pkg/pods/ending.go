package pods

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/joining"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// runContainers looks after the pod's containers until all have ended for good, or
// there is a reason to end them.
func (l *life) runContainers(ctx context.Context) lifecycle.Observation {
	began := time.Now()
	err := (&sandboxRun{l.pod, l.stay, containers.NewVolumes()}).serve(ctx)
	l.ran = time.Since(began)
	switch {
	case ctx.Err() != nil:
		return l.seen
	case err == nil:
		return lifecycle.SeenFinished
	case errors.Is(err, errSandboxExited):
		return lifecycle.SeenExited
	}
	l.reason = err
	return lifecycle.SeenReason
}

// recordReason writes down why the pod is ended before its containers are stopped: one
// may end by itself meanwhile, with 0, and a docker-sd that finds that must not take
// the pod for a success.
func (l *life) recordReason(ctx context.Context) lifecycle.Observation {
	end := l.endFor(l.reason)
	err := l.record.Note(func(r *records.Record) { r.Stage, r.End = r.Stage.Reach(lifecycle.StageEnding), &end })
	if err != nil {
		log.G(ctx).WithError(err).Warn("why the pod is ended could not be saved")
	}
	fault.Point("pods.verdict.recorded")
	return lifecycle.SeenRunning
}

// endFor is the state that containers get that have not ended by themselves.
func (l *life) endFor(reason error) v1.ContainerStateTerminated {
	over, alone := &evicted{}, &joining.NotJoined{}
	switch {
	case errors.As(reason, &over):
		l.atOnce = over.atOnce
		return v1.ContainerStateTerminated{ExitCode: 137, Reason: reasonEvicted, Message: reasonEvicted + ": " + over.message}
	case errors.Is(reason, errDeadline):
		return v1.ContainerStateTerminated{ExitCode: 137, Reason: "DeadlineExceeded",
			Message: fmt.Sprintf("DeadlineExceeded: %s (%d)", errDeadline, *l.spec.Spec.ActiveDeadlineSeconds)}
	}
	if errors.As(reason, &alone) {
		return v1.ContainerStateTerminated{ExitCode: 128, Reason: joining.Reason, Message: reason.Error()}
	}
	return v1.ContainerStateTerminated{ExitCode: 128, Reason: "CreateContainerError", Message: reason.Error()}
}

// stop ends the pod's containers within the grace period of the delete, or of the pod.
// One that cannot be stopped goes with its sandbox.
func (l *life) stop(ctx context.Context) lifecycle.Observation {
	r := l.record.Load()
	grace := containers.GracePeriod(l.spec, nil)
	switch {
	case r.Stage.Deleting():
		grace = time.Duration(r.Grace) * time.Second
	case l.atOnce:
		grace = 0
	}
	err := l.containers.StopAll(ctx, l.stay.Sandbox, grace)
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("not all containers of the pod could be stopped, they go with its sandbox")
		if !r.Stage.Deleting() {
			l.retireSandbox(ctx)
		}
	}
	if ctx.Err() != nil {
		return l.seen // a delete has its own grace period; the next docker-sd goes on here
	}
	return lifecycle.SeenStopped
}

// giveUp ends a pod whose sandbox does not come back. If the sandbox was not seen to
// stop, containers may run in it, where only its engine is mute: the pod has not ended,
// and its devices are not free, until they are gone.
func (l *life) giveUp(ctx context.Context) lifecycle.Observation {
	end := l.record.Load().End
	if l.stay == nil && l.record.Load().Sandbox != "" {
		l.events.Report(ctx, EventLost, "", nil)
		if l.retireSandbox(ctx); ctx.Err() != nil {
			return l.seen
		}
	}
	left := lifecycle.SeenLost
	if l.stay != nil && !errdefs.IsNotFound(l.reason) {
		left = lifecycle.SeenExited // it may come back yet, with the logs
	}
	switch {
	case end != nil:
	case l.stay == nil:
		end = &v1.ContainerStateTerminated{ExitCode: 137, Reason: podstatus.ReasonUnknown,
			Message: "the sandbox of this pod was lost while docker-sd was away: " + l.reason.Error()}
	default:
		end = &v1.ContainerStateTerminated{ExitCode: 137, Reason: podstatus.ReasonUnknown, Message: lossMessage}
	}
	outcome{l.pod}.fail(ctx, *end)
	return left
}

// retireSandbox removes the pod's sandbox but for its folder, and tries again until
// that is done or ctx ends.
func (l *life) retireSandbox(ctx context.Context) {
	tries := retry.New(time.Second, 30*time.Second)
	for {
		err := l.node.sandboxes.Release(ctx, l.record.Load().Sandbox)
		if err == nil || tries.Failed(ctx, "the sandbox of a pod that was lost could not be removed, trying again", err) != nil {
			return
		}
	}
}

// recordEnd ends the pod with what its containers came to, or with the reason in its
// record.
func (l *life) recordEnd(ctx context.Context) lifecycle.Observation {
	if end := l.record.Load().End; end != nil {
		outcome{l.pod}.fail(ctx, *end)
	} else {
		outcome{l.pod}.conclude(ctx)
	}
	return lifecycle.SeenRunning
}

// What users read of containers that died with their sandbox.
const (
	lossMessage   = "the pod's sandbox stopped: it was killed, ran out of memory, or its engine was stopped"
	rebootMessage = "the pod's sandbox stopped: its host was started again"
)
