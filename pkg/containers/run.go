package containers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	v1 "k8s.io/api/core/v1"
)

// run returns how the container ended for good. An error means that it was left
// alone, because ctx ended.
func (r *runner) run(ctx context.Context) (v1.ContainerStateTerminated, error) {
	delays := RestartDelays{}
	if end := r.p.finishedBefore(r.spec.Name); end != nil {
		r.p.Statuses.MarkFinished(r.spec.Name)
		return *end, nil
	}
	for {
		end, err := r.runOnce(ctx)
		if err != nil {
			return end, err
		}
		if restartsAll(r.spec, end) {
			return end, r.p.askForAll(ctx, r.spec.Name, end)
		}
		if r.init && !r.restarts(end) {
			var repeats bool
			if repeats, end = r.p.afterSandboxStopped(r.spec, r.s, end); repeats {
				if err := r.runAgain(ctx, end); err != nil {
					return end, err
				}
				continue
			}
		}
		if !r.restarts(end) {
			r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
				s.State = v1.ContainerState{Terminated: &end}
				s.Ready, s.Started = false, new(bool)
			})
			r.p.Statuses.MarkFinished(r.spec.Name)
			r.p.Observer.Tell(ctx, EventEnded, r.spec.Name, terminatedFields(end))
			return end, nil
		}
		delay := delays.Next(r.ran())
		r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
			// One step: a poll must never see the pod ended between two runs (protocol 2.2.3).
			s.LastTerminationState = v1.ContainerState{Terminated: &end}
			s.State = podstatus.Waiting(podstatus.ReasonCrashLoop, fmt.Sprintf("back-off %s restarting container %s: it %s", delay, r.spec.Name, podstatus.EndedWith(&end)))
			s.Ready, s.Started = false, new(bool)
		})
		fields := terminatedFields(end)
		fields["delay"] = delay
		r.p.Observer.Tell(ctx, EventRestarting, r.spec.Name, fields)
		select {
		case <-ctx.Done():
			return end, ctx.Err()
		case <-time.After(delay):
		}
		if err := r.keepAsPrevious(ctx); err != nil {
			return end, err
		}
		r.attempt++
	}
}

// runOnce runs the container one time, or takes over the run that it is in, and
// returns how that ended.
func (r *runner) runOnce(ctx context.Context) (v1.ContainerStateTerminated, error) {
	r.began = time.Time{}
	ctx = log.WithLogger(ctx, log.G(ctx).WithField("container", r.spec.Name))
	tries := retry.New(time.Second, 5*time.Second)
	for {
		end, err := r.tryOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return end, err
		}
		wrong := &configError{}
		if !errors.As(err, &wrong) && !errdefs.IsUnavailable(err) {
			// What the engine refuses is no end either: with kubelet the container waits.
			wrong = &configError{err, podstatus.ReasonCreate}
		}
		if wrong.err != nil {
			if err := r.awaitConfigured(ctx, wrong); err != nil {
				return end, err
			}
			continue
		}
		// The sandbox's engine is away: it restarts by itself, or the sandbox ends.
		r.resume = true
		if err := tries.Failed(ctx, "the sandbox's engine does not answer, trying again", err); err != nil {
			return end, err
		}
	}
}

// tryOnce is one try of runOnce. ErrUnavailable means that the engine is away.
func (r *runner) tryOnce(ctx context.Context) (v1.ContainerStateTerminated, error) {
	none := v1.ContainerStateTerminated{}
	seen, err := r.findInstance(ctx)
	if err != nil {
		return none, err
	}
	if seen.ID == "" {
		if seen.ID, err = r.create(ctx); err != nil {
			return none, err
		}
		r.made = true
	}
	if seen.State.Status == engine.StatusExited || seen.State.Status == engine.StatusDead {
		r.p.Statuses.SetInstance(r.spec.Name, seen.ID)
		return r.terminatedState(r.confirmOOM(ctx, seen.ID, seen.State)), nil
	}
	adopted := seen.State.Alive()
	if !adopted && r.mayHaveRun(seen) {
		r.p.Statuses.SetInstance(r.spec.Name, seen.ID)
		return r.terminatedState(engine.State{ExitCode: startRefused, FinishedAt: time.Now(),
			Error: "the sandbox's engine died while it started the container; whether it ran is not known, so it is not started again"}), nil
	}
	if !adopted {
		if err := r.mountAgain(ctx); err != nil {
			return none, err
		}
		if err := amend(ctx, r, seen.ID); err != nil {
			return none, err
		}
		step, done := r.p.Observer.Step(ctx, StepStart, "container", r.spec.Name)
		err := r.s.Engine.Start(step, seen.ID)
		done(err)
		fault.Point("pods.container.started")
		// Not before: a reader that follows the log of a container that was made and not
		// started gets its end at once.
		r.p.Statuses.SetInstance(r.spec.Name, seen.ID)
		if err != nil {
			return r.startFailed(ctx, seen.ID, err)
		}
		seen.State.StartedAt = time.Now()
	}
	if r.began.IsZero() {
		// In the past, but no further than now: the engine's clock may have been set.
		r.began = time.Now().Add(-max(time.Since(seen.State.StartedAt), 0))
	}
	return r.watch(ctx, seen, adopted)
}

// mountAgain opens the volumes of an instance that was made before: they may have gone
// with its sandbox.
func (r *runner) mountAgain(ctx context.Context) error {
	set, err := r.set.Wait(ctx)
	if err != nil || r.made {
		return err
	}
	env, err := environment(ctx, r, set)
	if err != nil {
		return err
	}
	_, planned, err := r.plan(set, env, unknownUser)
	if err != nil {
		return err
	}
	access, err := r.p.fuseAccess(ctx, r.s.Sandbox, r.spec, set, planned)
	if err == nil {
		_, err = r.mounts(ctx, planned, access)
	}
	return err
}

// startRefused is the exit code of a container that its engine could not start, as with
// kubelet.
const startRefused = 128

// startFailed turns the engine's refusal to start into an end of the container:
// a start error must not leave a pod waiting (protocol 9.15).
func (r *runner) startFailed(ctx context.Context, id string, cause error) (v1.ContainerStateTerminated, error) {
	if ctx.Err() != nil || errdefs.IsUnavailable(cause) {
		r.unsure = r.unsure || !engine.NotSent(cause)
		return v1.ContainerStateTerminated{}, cause
	}
	seen, err := r.s.Engine.Inspect(ctx, id)
	if err != nil {
		return v1.ContainerStateTerminated{}, err
	}
	if seen.State.Alive() {
		return r.watch(ctx, seen, false) // it started after all, only the answer was lost
	}
	if err := runtimeFails(r, cause); err != nil {
		return v1.ContainerStateTerminated{}, err
	}
	// The engine has 126 or 127 for some; kubelet knows one code for all of them.
	state := seen.State
	state.ExitCode, state.Error, state.FinishedAt = startRefused, cause.Error(), time.Now()
	return r.terminatedState(state), nil
}

// watch follows a running instance to its end: hooks, probes, exit.
func (r *runner) watch(ctx context.Context, seen engine.Container, adopted bool) (v1.ContainerStateTerminated, error) {
	r.p.groupOOM(ctx, r.s.Sandbox, seen.ID)
	attached := r.startMonitors(ctx, seen, adopted)
	defer attached.stop()
	tries := retry.New(200*time.Millisecond, 5*time.Second)
	for {
		asked := time.Now()
		state, err := r.s.Engine.Wait(ctx, seen.ID)
		if err == nil {
			fault.Point("pods.container.ended")
			attached.stop()
			if attached.killed == "" {
				return r.terminatedState(r.confirmOOM(ctx, seen.ID, state)), nil
			}
			end := r.terminatedState(state)
			end.Message = attached.killed
			return end, nil
		}
		if ctx.Err() != nil {
			return v1.ContainerStateTerminated{}, ctx.Err()
		}
		if errdefs.IsNotFound(err) {
			return r.terminatedState(engine.State{ExitCode: 137, StartedAt: seen.State.StartedAt, FinishedAt: time.Now(),
				Error: "the container was removed inside its sandbox"}), nil
		}
		if time.Since(asked) > time.Minute {
			tries.Succeeded(ctx, "the sandbox's engine answered again")
		}
		if err := tries.Failed(ctx, "the sandbox's engine does not answer, trying again", err); err != nil {
			return v1.ContainerStateTerminated{}, err
		}
	}
}
