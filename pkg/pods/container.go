package pods

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// runner runs one container of a pod through all its restarts. It belongs to
// one goroutine.
type runner struct {
	p       *pod
	spec    *v1.Container
	s       *stay
	set     *pendingSet
	init    bool
	attempt int
	// resume says that an instance may exist from before a restart of docker-sd.
	resume bool
	// made says that this docker-sd made the instance, unsure that the engine died
	// while it was told to start it.
	made, unsure bool
	// began is when the present instance was started, by a clock that nobody sets.
	began time.Time
}

func (p *pod) runner(c *v1.Container, s *stay, set *pendingSet) *runner {
	r := &runner{p: p, spec: c, s: s, set: set, resume: s != nil && s.found}
	if s != nil && s.again {
		statuses, _ := p.statuses.Snapshot()
		r.attempt = int(statuses[c.Name].RestartCount) + 1
	}
	for i := range p.spec.Spec.InitContainers {
		r.init = r.init || &p.spec.Spec.InitContainers[i] == c
	}
	return r
}

// run returns how the container ended for good. An error means that it was left
// alone, because ctx ended.
func (r *runner) run(ctx context.Context) (v1.ContainerStateTerminated, error) {
	delays := restartDelays{}
	if end := r.overBefore(); end != nil {
		r.p.statuses.MarkFinished(r.spec.Name)
		return *end, nil
	}
	for {
		end, err := r.once(ctx)
		if err != nil {
			return end, err
		}
		if !r.restarts(end) {
			r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
				s.State = v1.ContainerState{Terminated: &end}
				s.Ready, s.Started = false, new(bool)
			})
			r.p.statuses.MarkFinished(r.spec.Name)
			r.p.tell(ctx, EventEnded, r.spec.Name, endFields(end))
			return end, nil
		}
		delay := delays.next(r.ran())
		r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
			// One step: a poll must never see the pod ended between two runs (protocol 2.2.3).
			s.LastTerminationState = v1.ContainerState{Terminated: &end}
			s.State = podstatus.Waiting(podstatus.ReasonCrashLoop, fmt.Sprintf("back-off %s restarting container %s: it %s", delay, r.spec.Name, podstatus.EndedWith(&end)))
			s.Ready, s.Started = false, new(bool)
		})
		fields := endFields(end)
		fields["delay"] = delay
		r.p.tell(ctx, EventRestarting, r.spec.Name, fields)
		select {
		case <-ctx.Done():
			return end, ctx.Err()
		case <-time.After(delay):
		}
		if err := r.retire(ctx); err != nil {
			return end, err
		}
		r.attempt++
	}
}

// endFields say how a container ended; its message may hold what it wrote.
func endFields(end v1.ContainerStateTerminated) log.Fields {
	return log.Fields{"exitCode": end.ExitCode, "reason": end.Reason}
}

// restarts applies the container's own rules and policy, then the pod's. A
// native sidecar always runs again, an init container only after a failure.
func (r *runner) restarts(end v1.ContainerStateTerminated) bool {
	for _, rule := range r.spec.RestartPolicyRules {
		if codes := rule.ExitCodes; rule.Action == v1.ContainerRestartRuleActionRestart && codes != nil {
			listed := slices.Contains(codes.Values, end.ExitCode)
			if listed == (codes.Operator == v1.ContainerRestartRuleOnExitCodesOpIn) {
				return true
			}
		}
	}
	policy := r.p.spec.Spec.RestartPolicy
	if r.spec.RestartPolicy != nil {
		policy = v1.RestartPolicy(*r.spec.RestartPolicy)
	}
	switch {
	case r.init && podspec.IsSidecar(r.spec):
		return true
	case policy == v1.RestartPolicyNever:
		return false
	case policy == v1.RestartPolicyOnFailure || r.init:
		return end.ExitCode != 0
	}
	return true
}

// restartDelays are kubelet's: at once, then 10 s doubling to 5 min, from the
// start again after a run of 10 min.
type restartDelays struct{ last time.Duration }

const (
	firstRestartDelay = 10 * time.Second
	maxRestartDelay   = 5 * time.Minute
	restartReset      = 10 * time.Minute
)

func (d *restartDelays) next(ran time.Duration) time.Duration {
	delay := d.last
	if ran >= restartReset {
		delay = 0
	}
	d.last = min(max(2*delay, firstRestartDelay), maxRestartDelay)
	return delay
}

// once runs the container one time, or takes over the run that it is in, and
// returns how that ended.
func (r *runner) once(ctx context.Context) (v1.ContainerStateTerminated, error) {
	r.began = time.Time{}
	ctx = log.WithLogger(ctx, log.G(ctx).WithField("container", r.spec.Name))
	tries := retry.New(time.Second, 5*time.Second)
	for {
		end, err := r.attemptOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return end, err
		}
		if !errdefs.IsUnavailable(err) {
			return r.ended(engine.State{ExitCode: 128, Error: err.Error(), FinishedAt: time.Now()}), nil
		}
		// The sandbox's engine is away: it restarts by itself, or the sandbox ends.
		r.resume = true
		if err := tries.Failed(ctx, "the sandbox's engine does not answer, trying again", err); err != nil {
			return end, err
		}
	}
}

// ran is how long the last instance did, as far as docker-sd saw it.
func (r *runner) ran() time.Duration {
	if r.began.IsZero() {
		return 0
	}
	return time.Since(r.began)
}

func (r *runner) attemptOnce(ctx context.Context) (v1.ContainerStateTerminated, error) {
	none := v1.ContainerStateTerminated{}
	seen, err := r.find(ctx)
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
		r.p.statuses.SetInstance(r.spec.Name, seen.ID)
		return r.ended(r.askWhy(ctx, seen.ID, seen.State)), nil
	}
	adopted := seen.State.Alive()
	if !adopted && r.mayHaveRun(seen) {
		r.p.statuses.SetInstance(r.spec.Name, seen.ID)
		return r.ended(engine.State{ExitCode: 128, FinishedAt: time.Now(),
			Error: "the sandbox's engine died while it started the container; whether it ran is not known, so it is not started again"}), nil
	}
	if !adopted {
		if err := r.mountAgain(ctx); err != nil {
			return none, err
		}
		step, done := r.p.step(ctx, StepStartContainer, "container", r.spec.Name)
		err := r.s.Engine.Start(step, seen.ID)
		done(err)
		fault.Point("pods.container.started")
		// Not before: whoever follows the log of a container that was made and not
		// started gets its end at once.
		r.p.statuses.SetInstance(r.spec.Name, seen.ID)
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
	set, err := r.set.wait(ctx)
	if err != nil || r.made {
		return err
	}
	_, err = r.mounts(ctx, set, podspec.NewEnvironment(r.p.spec, r.spec, r.p.m.config.Node, r.s.IP))
	return err
}

// mayHaveRun says of an instance that the engine calls created that it may have
// run all the same, in a pod that must not run twice: an engine that dies between
// starting a process and noting it forgets that it did. Of an earlier docker-sd
// nobody knows whether it had told the engine to.
func (r *runner) mayHaveRun(seen engine.Container) bool {
	if r.p.spec.Spec.RestartPolicy != v1.RestartPolicyNever {
		return false
	}
	if r.unsure || r.made || !r.s.found {
		return r.unsure
	}
	began, err := r.s.EngineStarted()
	return err == nil && began.After(seen.Created)
}

// find returns the instance that an earlier docker-sd left, if any.
func (r *runner) find(ctx context.Context) (engine.Container, error) {
	if !r.resume {
		return engine.Container{}, nil
	}
	r.resume = false
	name := podspec.ContainerName(r.p.spec, r.spec.Name)
	if old, err := r.s.Engine.Inspect(ctx, name+previousSuffix); err == nil {
		r.p.statuses.SetPrevious(r.spec.Name, old.ID)
		r.attempt = attemptOf(old) + 1
		r.noteRestarts(&old)
	} else if !errdefs.IsNotFound(err) {
		return old, err
	}
	seen, err := r.s.Engine.Inspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return engine.Container{}, nil
	}
	if err == nil {
		r.attempt = attemptOf(seen)
		r.noteImage(seen)
	}
	return seen, err
}

func attemptOf(c engine.Container) int {
	n, _ := strconv.Atoi(c.Labels[engine.LabelAttempt])
	return n
}

func (r *runner) noteRestarts(old *engine.Container) {
	end := r.ended(old.State)
	end.ContainerID = engineID(old.ID)
	r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.LastTerminationState = v1.ContainerState{Terminated: &end}
	})
}

func (r *runner) noteImage(seen engine.Container) {
	r.p.statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.ContainerID, s.ImageID, s.RestartCount = engineID(seen.ID), engineID(seen.ImageID), int32(r.attempt)
	})
}

// engineID is an id as Kubernetes writes it.
func engineID(id string) string { return "docker://" + id }

// watch follows a running instance to its end: hooks, probes, exit.
func (r *runner) watch(ctx context.Context, seen engine.Container, adopted bool) (v1.ContainerStateTerminated, error) {
	attached := r.attend(ctx, seen, adopted)
	defer attached.stop()
	tries := retry.New(200*time.Millisecond, 5*time.Second)
	for {
		asked := time.Now()
		state, err := r.s.Engine.Wait(ctx, seen.ID)
		if err == nil {
			fault.Point("pods.container.ended")
			attached.stop()
			if attached.killed == "" {
				return r.ended(r.askWhy(ctx, seen.ID, state)), nil
			}
			end := r.ended(state)
			end.Message = attached.killed
			return end, nil
		}
		if ctx.Err() != nil {
			return v1.ContainerStateTerminated{}, ctx.Err()
		}
		if errdefs.IsNotFound(err) {
			return r.ended(engine.State{ExitCode: 137, StartedAt: seen.State.StartedAt, FinishedAt: time.Now(),
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

// target is where a container's probes and hooks find it. Their commands may refer to
// the variables of the container, as its own command may.
func (p *pod) target(s *pool.Sandbox, c *v1.Container, id string) probes.Target {
	env := podspec.NewEnvironment(p.spec, c, p.m.config.Node, s.IP)
	return probes.Target{
		PodIP:     func() string { return s.IP },
		Container: c,
		Exec: func(ctx context.Context, argv []string, out io.Writer) (int, error) {
			return s.Engine.Exec(ctx, id, env.Expand(argv), out)
		},
	}
}

// retire keeps the instance that ended as the previous one, for its log, and
// frees its name. Only one is kept, as by kubelet.
func (r *runner) retire(ctx context.Context) error {
	now, _ := r.p.statuses.Instance(r.spec.Name)
	if now.ID == "" {
		return nil
	}
	previous := podspec.ContainerName(r.p.spec, r.spec.Name) + previousSuffix
	ctx = log.WithLogger(ctx, log.G(ctx).WithField("container", r.spec.Name))
	tries := retry.New(time.Second, 5*time.Second)
	for {
		err := r.s.Engine.Remove(ctx, previous)
		if err == nil {
			fault.Point("pods.restart.forgotten")
			err = r.s.Engine.Rename(ctx, now.ID, previous)
		}
		if err == nil || errdefs.IsNotFound(err) {
			fault.Point("pods.restart.renamed")
			r.p.statuses.SetPrevious(r.spec.Name, now.ID)
			r.p.statuses.SetInstance(r.spec.Name, "")
			return nil
		}
		if err := tries.Failed(ctx, "the container's last run could not be put aside, trying again", err); err != nil {
			return err
		}
	}
}

// previousSuffix is that of the instance before the present one.
const previousSuffix = "-previous"
