package pods

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// claimAgain claims the sandbox of the record, in which nothing of the pod has run yet.
func (l *life) claimAgain() lifecycle.Observation {
	l.claim = l.node.sandboxes.Rebook(l.record.Load().Sandbox, podspec.HostPorts(l.spec)).Of(l.record.Load().Runtime.SandboxImage)
	l.locate() // there is no container to be found
	return lifecycle.SeenClaimed
}

// reserve claims a sandbox for the pod, with fresh one that is booted from now on. A class
// with an image of its own takes none of the pool's.
func reserve(p *pod, fresh bool) *pool.Claim {
	ports, image := podspec.HostPorts(p.spec), p.record.Load().Runtime.SandboxImage
	if fresh || image != "" {
		return p.node.sandboxes.ReserveFresh(ports).Of(image)
	}
	return p.node.sandboxes.Reserve(ports)
}

// place waits until the pod has the sandbox that it claimed. Images are brought to the
// host first: those are shared with a sandbox that boots later.
func (l *life) place(work context.Context) lifecycle.Observation {
	ctx, cancel := l.untilDeadline(work)
	defer cancel()
	l.containers.Images.Fetch(ctx)
	err := ctx.Err()
	var s *sandbox.Sandbox
	if err == nil {
		step, done := l.events.Step(ctx, StepClaim)
		s, err = l.awaitClaimed(step)
		done(err)
	}
	switch {
	case err != nil && work.Err() != nil:
		return l.seen
	case err != nil:
		return lifecycle.SeenOverdue
	}
	l.assign(work, s)
	metered{l.pod}.placed(s, true)
	l.stay = &containers.Stay{Sandbox: s, Again: l.again}
	return lifecycle.SeenRunning
}

// giveBack ends a pod whose deadline passed while it waited for its image or its sandbox.
// The record names no sandbox any more before the claim is given back: the next moment
// that sandbox may be another pod's.
func (l *life) giveBack(ctx context.Context) lifecycle.Observation {
	end := l.endFor(errDeadline)
	tries := retry.New(time.Second, 15*time.Second)
	for {
		err := l.record.Change(func(r *records.Record) {
			if !r.Stage.Deleting() {
				r.Stage, r.End, r.Sandbox, r.Replaced = lifecycle.StageEnding, &end, "", ""
			}
		})
		if l.record.Load().Stage.Deleting() {
			return l.seen
		}
		if err == nil {
			break
		}
		if tries.Failed(ctx, "the end of a pod that has no sandbox yet could not be saved, trying again", err) != nil {
			return l.seen
		}
	}
	fault.Point("pods.overdue.recorded")
	l.node.sandboxes.Return(l.claim)
	l.claim = nil
	fault.Point("pods.overdue.returned")
	return lifecycle.SeenLost
}

// awaitClaimed tries again when a boot fails, since a refused create would be final for
// the cluster. The error is ctx's.
func (l *life) awaitClaimed(ctx context.Context) (*sandbox.Sandbox, error) {
	tries := retry.New(time.Second, 15*time.Second)
	for {
		s, err := l.claim.Sandbox(ctx)
		if err == nil {
			fault.Point("pods.place.found")
		}
		if err == nil && !l.swapped && l.containers.Images.Lacks(ctx, s) {
			err := l.swap(ctx)
			if err == nil {
				continue
			}
			log.G(ctx).WithError(err).Warn("no fresh sandbox could be claimed, the image is copied into this one")
		}
		if err == nil {
			err = l.recordPlace(s)
		}
		if err == nil {
			l.events.Tell(ctx, EventPlaced, "", log.Fields{"sandbox": s.Name})
			tries.Succeeded(ctx, "the pod has a sandbox")
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l.containers.Explain("waiting for a sandbox: " + err.Error())
		if err := tries.Failed(ctx, "no sandbox yet, trying again", err); err != nil {
			return nil, err
		}
	}
}

// swap gives the sandbox back unused and claims one that sees the host's new images:
// half a second, where copying a large image takes many.
func (l *life) swap(ctx context.Context) error {
	claim := reserve(l.pod, true)
	err := l.record.Change(func(r *records.Record) {
		r.Sandbox = claim.Name
		if r.Stage == lifecycle.StagePlaced {
			r.Stage = lifecycle.StageAdmitted
		}
	})
	if err != nil {
		return err
	}
	fault.Point("pods.swap.recorded")
	log.G(ctx).Info("an image came after the sandbox was booted, taking a fresh one")
	l.node.sandboxes.Return(l.claim)
	l.claim, l.swapped = claim, true
	fault.Point("pods.swap.returned")
	return nil
}

// recordPlace writes down that the sandbox exists. No container may start before that
// is on disk: after a crash it would be started once more, in another sandbox.
func (p *pod) recordPlace(s *sandbox.Sandbox) error {
	r := p.record.Load()
	if r.Sandbox == s.Name && r.Stage != lifecycle.StageAdmitted && r.Stage != lifecycle.StageReplacing {
		return nil
	}
	err := p.record.Change(func(r *records.Record) {
		r.Stage, r.Sandbox, r.Replaced = r.Stage.Reach(lifecycle.StagePlaced), s.Name, ""
	})
	if err == nil {
		fault.Point("pods.place.recorded")
	}
	return err
}

// assign gives the sandbox the pod's name, which people read. Nothing waits for it.
func (p *pod) assign(ctx context.Context, s *sandbox.Sandbox) {
	p.sandbox.Store(s)
	p.node.workers.Go(func() {
		if err := p.node.sandboxes.Assign(ctx, s, string(p.spec.UID)); err != nil && ctx.Err() == nil {
			log.G(ctx).WithError(err).Warn("the sandbox keeps its pool name")
		}
		fault.Point("pods.place.named")
	})
}

// find looks for the sandbox of the record for as long as the host's engine is away.
func (l *life) find(ctx context.Context) lifecycle.Observation {
	if l.record.Load().Sandbox == "" {
		l.locate()
		return lifecycle.SeenLost // it never had one
	}
	s, err := l.search(ctx)
	if ctx.Err() != nil {
		return l.seen
	}
	if err != nil {
		return l.lose(ctx, err)
	}
	if l.seen == lifecycle.SeenNothing {
		fault.Point("pods.place.adopted")
	}
	return l.moveBack(ctx, s)
}

// ask is one try of find, for a pod that is deleted: a sandbox that cannot be asked
// any more is removed as it is.
func (l *life) ask(ctx context.Context) lifecycle.Observation {
	s, err := l.node.sandboxes.Adopt(ctx, l.record.Load().Sandbox)
	if ctx.Err() != nil {
		return l.seen
	}
	if err != nil {
		return lifecycle.SeenLost
	}
	return l.moveBack(ctx, s)
}

// moveBack begins a stay in a sandbox that has containers of the pod.
func (l *life) moveBack(ctx context.Context, s *sandbox.Sandbox) lifecycle.Observation {
	back := &containers.Stay{Sandbox: s, Found: true, Again: l.again}
	if back.Loss = lossMessage; l.stay == nil && l.record.Load().Rebooted(records.Now()) {
		back.Loss = rebootMessage
	}
	if l.stay == nil {
		l.assign(ctx, s)
	}
	l.sandbox.Store(s)
	metered{l.pod}.placed(s, false)
	l.stay = back
	l.containers.FindInstances(ctx, back, l.record.Load().Stage == lifecycle.StagePlaced)
	l.locate()
	return lifecycle.SeenRunning
}

// adoptTries is how often a sandbox is asked to come back that its engine could
// not start, or that does not answer.
const adoptTries = 5

// search returns ErrNotFound and other errors if the sandbox is lost. A pod that has
// ended waits for nothing but its logs, and so is more patient: an engine that is being
// restarted refuses for as long as it still ends what it ran.
func (p *pod) search(ctx context.Context) (*sandbox.Sandbox, error) {
	most, longest := adoptTries, 10*time.Second
	if p.record.Load().Stage == lifecycle.StageEnded {
		most, longest = math.MaxInt, 30*time.Second
	}
	tries := retry.New(time.Second, longest)
	for refused := 0; ; {
		s, err := p.node.sandboxes.Adopt(ctx, p.record.Load().Sandbox)
		switch {
		case err == nil:
			tries.Succeeded(ctx, "the pod's sandbox is there again")
			return s, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errdefs.IsUnavailable(err):
		default:
			if refused++; refused >= most || errdefs.IsNotFound(err) {
				return nil, err
			}
		}
		p.containers.Explain("waiting for the pod's sandbox: " + err.Error())
		if err := tries.Failed(ctx, "the pod's sandbox does not come back yet, trying again", err); err != nil {
			return nil, err
		}
	}
}

// lose decides whether a pod whose sandbox is lost may start over. One that must not
// run twice may if nothing of it has run. After a restart of docker-sd that is not
// known.
func (l *life) lose(ctx context.Context, why error) lifecycle.Observation {
	log.G(ctx).WithError(why).Warn("the pod's sandbox is lost")
	l.reason = why
	l.locate()
	if l.spec.Spec.RestartPolicy != v1.RestartPolicyNever || l.stay != nil && !l.statuses.RanBefore() {
		return lifecycle.SeenReplaceable
	}
	return lifecycle.SeenLost
}

// recoverSandbox starts the sandbox again that stopped under the pod, with what is left
// of its containers.
func (l *life) recoverSandbox(ctx context.Context) lifecycle.Observation {
	fields := log.Fields{"sandbox": l.stay.Name}
	log.G(ctx).WithFields(fields).Warn("the sandbox stopped under its pod")
	l.events.Report(ctx, EventLost, "", fields)
	l.showLoss()
	if retry.Pause(ctx, l.delays.Next(l.ran)) != nil {
		return l.seen
	}
	return l.find(ctx)
}

// showLoss reports containers that will run again as waiting, not as ended.
func (p *pod) showLoss() {
	if p.spec.Spec.RestartPolicy == v1.RestartPolicyNever {
		return
	}
	p.statuses.EndRemaining(func(v1.ContainerStatus) v1.ContainerState {
		return podstatus.Waiting(podstatus.ReasonCrashLoop, lossMessage)
	})
}

// replaceSandbox writes down that the pod moves to another sandbox. As long as that
// cannot be written the lost one is kept, and taken if it comes back: what lets no
// record be saved may keep a sandbox from starting too.
func (l *life) replaceSandbox(ctx context.Context) lifecycle.Observation {
	old, over := l.record.Load().Sandbox, l.containers.FinishedStatuses()
	claim := reserve(l.pod, false)
	tries := retry.New(time.Second, 15*time.Second)
	for {
		err := l.record.Change(func(r *records.Record) {
			if !r.Stage.Deleting() {
				r.Stage, r.Replaced, r.Sandbox, r.Ended = lifecycle.StageReplacing, old, claim.Name, over
			}
		})
		if err == nil && l.record.Load().Sandbox == claim.Name {
			break
		}
		if err == nil { // deleted meanwhile
			err = errDeleted
		}
		l.containers.Explain("waiting for its record to be saved: " + err.Error())
		if errors.Is(err, errDeleted) || tries.Failed(ctx, "the pod's new place could not be saved, trying again", err) != nil {
			l.node.sandboxes.Return(claim)
			return l.seen
		}
		if s, err := l.node.sandboxes.Adopt(ctx, old); err == nil {
			l.node.sandboxes.Return(claim)
			return l.moveBack(ctx, s)
		}
	}
	log.G(ctx).WithField("sandbox", old).WithError(l.reason).Warn("the sandbox is lost, the pod starts over in another")
	fault.Point("pods.regain.recorded")
	l.claim, l.stay, l.again = claim, nil, true
	return lifecycle.SeenClaimed
}

// clearReplaced returns when nothing runs in the lost sandbox any more.
func (l *life) clearReplaced(ctx context.Context) lifecycle.Observation {
	if l.removeReplaced(ctx) != nil {
		return l.seen
	}
	fault.Point("pods.regain.destroyed")
	l.statuses.ForgetInstances()
	return lifecycle.SeenCleared
}

// removeReplaced removes the sandbox that the pod's present one replaces, however long
// that takes: a pod never runs twice. What is left of a sandbox that has stopped, the
// sweep takes. The error is ctx's.
func (p *pod) removeReplaced(ctx context.Context) error {
	old := p.record.Load().Replaced
	tries := retry.New(time.Second, 15*time.Second)
	for {
		err := p.node.sandboxes.Destroy(ctx, old)
		if err == nil {
			tries.Succeeded(ctx, "the lost sandbox is removed")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if runs, unknown := p.node.sandboxes.Runs(ctx, old); unknown == nil && !runs {
			tries.Note(ctx, "the lost sandbox has stopped, what is left of it is left to the sweep", err)
			return nil
		}
		p.containers.Explain("waiting until the pod's lost sandbox " + old + " is gone: " + err.Error())
		if err := tries.Failed(ctx, "the lost sandbox may still run, so its pod does not start again yet", err); err != nil {
			return err
		}
	}
}
