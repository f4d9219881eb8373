package containers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// StopAll ends the pod's containers: the main ones side by side, then the
// sidecars in the reverse of their order, all within the grace period. An error
// says that one of them may run on.
func (p *Pod) StopAll(ctx context.Context, s *sandbox.Sandbox, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	var stopping errgroup.Group
	for _, c := range plainContainers(p.Spec) {
		stopping.Go(func() error { return p.stopContainer(ctx, s, c, time.Until(deadline)) })
	}
	return errors.Join(stopping.Wait(), p.StopSidecars(ctx, s, time.Until(deadline)))
}

// StopSidecars stops the sidecars in the reverse of their order, within the grace period.
func (p *Pod) StopSidecars(ctx context.Context, s *sandbox.Sandbox, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	inits := p.Spec.Spec.InitContainers
	var problems []error
	for i := len(inits) - 1; i >= 0; i-- {
		if podspec.IsSidecar(&inits[i]) {
			problems = append(problems, p.stopContainer(ctx, s, &inits[i], time.Until(deadline)))
		}
	}
	return errors.Join(problems...)
}

// plainContainers are all containers of the pod but its sidecars.
func plainContainers(pod *v1.Pod) []*v1.Container {
	var out []*v1.Container
	for i := range pod.Spec.InitContainers {
		if !podspec.IsSidecar(&pod.Spec.InitContainers[i]) {
			out = append(out, &pod.Spec.InitContainers[i])
		}
	}
	for i := range pod.Spec.Containers {
		out = append(out, &pod.Spec.Containers[i])
	}
	return out
}

// engineReturns is how long after a container's grace an engine is waited for that
// is away: a sandbox brings its own back within two seconds.
const engineReturns = 5 * time.Second

// stopContainer runs the preStop hook, then SIGTERM, then SIGKILL, within grace. An
// engine that is away meanwhile is asked again. An error says that the container
// may run on; one that is gone, or whose sandbox is, does not.
func (p *Pod) stopContainer(ctx context.Context, s *sandbox.Sandbox, c *v1.Container, grace time.Duration) error {
	now, _ := p.Statuses.Instance(c.Name)
	if now.ID == "" {
		return nil
	}
	deadline := time.Now().Add(grace)
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(engineReturns))
	defer cancel()
	var seen engine.Container
	err := untilAnswered(ctx, s, func() (err error) {
		seen, err = s.Engine.Inspect(ctx, now.ID)
		return err
	})
	if errdefs.IsNotFound(err) || err == nil && !seen.State.Alive() {
		return nil
	}
	if err == nil {
		p.runPreStop(ctx, s, c, now.ID, grace)
		err = untilAnswered(ctx, s, func() error {
			// Kubelet leaves two seconds for the signal however long the hook took.
			return s.Engine.Stop(ctx, now.ID, max(time.Until(deadline), min(grace, 2*time.Second), 0))
		})
	}
	if err != nil && !isGone(s) {
		return fmt.Errorf("stop container %s: %w", c.Name, err)
	}
	fault.Point("pods.stop.stopped")
	return nil
}

// runPreStop runs a container's hook. Its failure does not keep the container from
// being stopped. The log has how it failed, and not the error: that holds what the
// hook has written, or what its command is called.
func (p *Pod) runPreStop(ctx context.Context, s *sandbox.Sandbox, c *v1.Container, id string, grace time.Duration) {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || grace <= 0 {
		return
	}
	hook, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := p.target(s, c, id).Hook(hook, c.Lifecycle.PreStop); err != nil {
		logger := log.G(ctx).WithField("container", c.Name)
		exit := &probes.ExitError{}
		switch {
		case errors.As(err, &exit):
			logger = logger.WithField("exitCode", exit.Code)
		case errors.Is(err, context.DeadlineExceeded):
			logger = logger.WithField("timeout", grace)
		}
		logger.Warn("preStop hook failed, its container is stopped all the same")
	}
	fault.Point("pods.stop.hooked")
}

// untilAnswered repeats a call to a sandbox's engine while that is away, unless ctx
// or the sandbox ends.
func untilAnswered(ctx context.Context, s *sandbox.Sandbox, call func() error) error {
	tries := retry.New(200*time.Millisecond, 2*time.Second)
	for {
		err := call()
		if !errdefs.IsUnavailable(err) || isGone(s) || tries.Wait(ctx) != nil {
			return err
		}
	}
}

// GracePeriod is how long containers have to stop: what the delete says, in seconds, and
// what the pod says if the delete says nothing, as with kubelet (protocol 4).
func GracePeriod(spec *v1.Pod, deletion *int64) time.Duration {
	seconds := int64(v1.DefaultTerminationGracePeriodSeconds)
	if spec.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *spec.Spec.TerminationGracePeriodSeconds
	}
	if deletion != nil {
		seconds = *deletion
	}
	return time.Duration(max(seconds, 0)) * time.Second
}
