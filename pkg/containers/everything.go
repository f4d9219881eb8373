package containers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// RestartAll says that a container ended in such a way that all containers of its pod, init
// containers too, are to be ended and started again (restartPolicyRules).
type RestartAll struct {
	Container string
	End       v1.ContainerStateTerminated
}

// Error tells which container wants it and why.
func (r *RestartAll) Error() string {
	return fmt.Sprintf("container %s %s", r.Container, podstatus.EndedWith(&r.End))
}

// action of the first rule of a container that is for an exit code, "" if none is.
func action(c *v1.Container, code int32) v1.ContainerRestartRuleAction {
	for _, rule := range c.RestartPolicyRules {
		if codes := rule.ExitCodes; codes != nil {
			listed := slices.Contains(codes.Values, code)
			if listed == (codes.Operator == v1.ContainerRestartRuleOnExitCodesOpIn) {
				return rule.Action
			}
		}
	}
	return ""
}

// restartsAll says that a container which ended so has all containers restarted.
func restartsAll(c *v1.Container, end v1.ContainerStateTerminated) bool {
	return action(c, end.ExitCode) == v1.ContainerRestartRuleActionRestartAllContainers
}

// askForAll has all containers of the pod started again. Its error is why. No poll may see
// the container as one that has ended for good (protocol 2.2.3).
func (p *Pod) askForAll(ctx context.Context, container string, end v1.ContainerStateTerminated) error {
	why := &RestartAll{container, end}
	p.Statuses.Update(container, func(s *v1.ContainerStatus) {
		s.LastTerminationState = v1.ContainerState{Terminated: &end}
		s.State = podstatus.Waiting(podstatus.ReasonCrashLoop, "restarting all containers: "+why.Error())
		s.Ready, s.Started = false, new(bool)
	})
	p.Observer.Tell(ctx, EventRestarting, container, terminatedFields(end))
	p.restartAll(why)
	return why
}

// finishedBefore is how a container ended for good in an earlier sandbox, nil if it did not
// or has run in the present one since, because all were started again.
func (p *Pod) finishedBefore(container string) *v1.ContainerStateTerminated {
	if now, _ := p.Statuses.Instance(container); p.again || now.ID != "" || now.Previous != "" {
		return nil
	}
	return p.Owner.FinishedBefore(container)
}

// Everything is all containers of a pod in its sandbox, where they are started again
// together.
type Everything struct {
	pod  *Pod
	stay *Stay
	// delays are those before all containers are started again, as before one is.
	delays RestartDelays
	began  time.Time
}

// Everything of the pod, which the caller runs for as long as the pod stays in its sandbox.
func (p *Pod) Everything(s *Stay) *Everything { return &Everything{pod: p, stay: s} }

// Round is a context for one run of all containers. It ends with a RestartAll for its cause
// where a container wants that.
func (e *Everything) Round(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	round, cancel := context.WithCancelCause(ctx)
	e.began, e.pod.restartAll = time.Now(), cancel
	return round, cancel
}

// Interrupted finds a container of an earlier docker-sd that has ended and for which all
// others are to be started again, nil if there is none. Such a container is put aside last,
// so that a docker-sd that died meanwhile leaves it.
func (e *Everything) Interrupted(ctx context.Context) (*RestartAll, error) {
	if !e.stay.Found {
		return nil, nil
	}
	for _, c := range e.all("") {
		if !slices.ContainsFunc(c.spec.RestartPolicyRules, func(rule v1.ContainerRestartRule) bool {
			return rule.Action == v1.ContainerRestartRuleActionRestartAllContainers
		}) {
			continue
		}
		seen, err := e.look(ctx, podspec.ContainerName(e.pod.Spec, c.spec.Name))
		if err != nil {
			return nil, err
		}
		if end := c.terminatedState(seen.State); hasEnded(seen) && restartsAll(c.spec, end) {
			return &RestartAll{c.spec.Name, end}, nil
		}
	}
	return nil, nil
}

// Again ends all containers at once, without hooks and grace periods as kubelet does, puts
// their last runs aside, and waits for as long as before other restarts. The next round
// starts them all, from the first init container on. It may be repeated.
func (e *Everything) Again(ctx context.Context, why *RestartAll) error {
	ran := time.Since(e.began)
	log.G(ctx).WithField("container", why.Container).WithField("exitCode", why.End.ExitCode).Info("all containers of the pod are started again")
	tries := retry.New(time.Second, 5*time.Second)
	for {
		err := e.pod.StopAll(ctx, e.stay.Sandbox, 0)
		if err == nil && ctx.Err() == nil {
			break
		}
		if err := tries.Failed(ctx, "not all containers of the pod could be stopped, trying again", err); err != nil {
			return err
		}
	}
	delay := e.delays.Next(ran)
	for _, c := range e.all(why.Container) {
		if err := e.putAside(ctx, c, fmt.Sprintf("back-off %s restarting all containers: %s", delay, why)); err != nil {
			return err
		}
	}
	e.pod.again = true
	return retry.Pause(ctx, delay)
}

// putAside keeps the last run of a container as its previous one.
func (e *Everything) putAside(ctx context.Context, c *runner, message string) error {
	now, _ := e.pod.Statuses.Instance(c.spec.Name)
	var seen engine.Container
	if now.ID != "" {
		var err error
		if seen, err = e.look(ctx, now.ID); err != nil {
			return err
		}
	}
	end := c.terminatedState(seen.State)
	e.pod.Statuses.Reopen(c.spec.Name, func(s *v1.ContainerStatus) {
		switch was := s.State.Terminated; {
		case was != nil:
			s.LastTerminationState = v1.ContainerState{Terminated: was}
		case hasEnded(seen):
			s.LastTerminationState = v1.ContainerState{Terminated: &end}
		}
		s.State = podstatus.Waiting(podstatus.ReasonCrashLoop, message)
		s.Ready, s.Started = false, new(bool)
	})
	return c.keepAsPrevious(ctx)
}

// look at an instance for as long as its engine is away; one that is gone is empty.
func (e *Everything) look(ctx context.Context, name string) (engine.Container, error) {
	tries := retry.New(time.Second, 5*time.Second)
	for {
		seen, err := e.stay.Engine.Inspect(ctx, name)
		if err == nil || errdefs.IsNotFound(err) {
			return seen, nil
		}
		if err := tries.Failed(ctx, "a container cannot be looked at, trying again", err); err != nil {
			return seen, err
		}
	}
}

// hasEnded says that an instance ran and does not any more.
func hasEnded(c engine.Container) bool {
	return c.State.Status == engine.StatusExited || c.State.Status == engine.StatusDead
}

// all containers of the pod, the named one last. Init containers come in the reverse of
// their order, because no poll may see one that has ended behind one that has not (protocol
// 2.2.7).
func (e *Everything) all(last string) []*runner {
	var out, end []*runner
	add := func(c *v1.Container) {
		if r := e.pod.runner(c, e.stay, nil); c.Name == last {
			end = append(end, r)
		} else {
			out = append(out, r)
		}
	}
	spec := &e.pod.Spec.Spec
	for i := range spec.Containers {
		add(&spec.Containers[i])
	}
	for i := range slices.Backward(spec.InitContainers) {
		add(&spec.InitContainers[i])
	}
	return append(out, end...)
}
