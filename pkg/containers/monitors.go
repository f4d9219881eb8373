package containers

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// monitors are the postStart hook and the probes of one running instance, at work.
type monitors struct {
	cancel context.CancelFunc
	group  sync.WaitGroup
	// killed says why docker-sd itself stopped the instance; read after stop.
	killed string
}

// stop ends the hook and the probes, and waits for them.
func (a *monitors) stop() {
	a.cancel()
	a.group.Wait()
}

// noteStart shows when the engine says that an instance started, as a docker-sd
// that takes the pod over will: engines differ in what they call its start, and
// none tells it in the answer to the call.
func (r *runner) noteStart(ctx context.Context, id string) {
	seen, err := r.s.Engine.Inspect(ctx, id)
	if err != nil || seen.State.StartedAt.IsZero() {
		return // it is a moment off
	}
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		if s.State.Running != nil {
			s.State.Running = &v1.ContainerStateRunning{StartedAt: metav1.NewTime(seen.State.StartedAt)}
		}
	})
}

// startMonitors marks an instance as running and starts what accompanies it. An
// adopted one had its hook already.
func (r *runner) startMonitors(ctx context.Context, seen engine.Container, adopted bool) *monitors {
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.State = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(seen.State.StartedAt)}}
	})
	if !adopted {
		r.p.Observer.Tell(ctx, EventStarted, r.spec.Name, log.Fields{"attempt": r.attempt})
	}
	r.p.Owner.Started(r.init)
	watched, cancel := context.WithCancel(ctx)
	a := &monitors{cancel: cancel}
	if !adopted {
		a.group.Go(func() { r.noteStart(watched, seen.ID) })
	}
	a.group.Go(func() {
		if hook := r.spec.Lifecycle; !adopted && hook != nil && hook.PostStart != nil {
			if err := r.p.target(r.s.Sandbox, r.spec, seen.ID).Hook(watched, hook.PostStart); err != nil && watched.Err() == nil {
				a.kill(ctx, r, fmt.Sprintf("postStart hook failed: %s", err), nil)
				return
			}
			fault.Point("pods.container.hooked")
		}
		target := r.p.target(r.s.Sandbox, r.spec, seen.ID)
		target.StartedAt, target.Started = seen.State.StartedAt, adopted && hadToStart(r.spec, seen.State.StartedAt)
		var sick *probes.Unhealthy
		probes.Run(watched, target, probes.Callbacks{
			Started: func(ok bool) { r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) { s.Started = &ok }) },
			Ready:   func(ok bool) { r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) { s.Ready = ok }) },
			Event: func(kind probes.Kind, result probes.Result) {
				log.G(ctx).WithField("container", r.spec.Name).WithField("outcome", result.Outcome.String()).
					Debug(string(kind) + " probe")
			},
			Unhealthy: func(u probes.Unhealthy) { sick = &u },
		})
		if sick != nil {
			a.kill(ctx, r, fmt.Sprintf("%s probe failed: %s", sick.Probe, sick.Message), sick.TerminationGracePeriodSeconds)
		}
	})
	return a
}

// hadToStart says whether an adopted container's startup probe must have
// succeeded: one that lives longer than the probe would have let it. Running the
// probe again could kill a healthy container.
func hadToStart(c *v1.Container, began time.Time) bool {
	probe := c.StartupProbe
	if probe == nil {
		return true
	}
	window := cmp.Or(probe.PeriodSeconds, 10)*cmp.Or(probe.FailureThreshold, 3) + probe.InitialDelaySeconds + cmp.Or(probe.TimeoutSeconds, 1)
	return time.Since(began) > time.Duration(window)*time.Second
}

// kill stops the instance, and tries again until it has: an engine may be away just
// then, and nothing else would stop it.
func (a *monitors) kill(ctx context.Context, r *runner, why string, grace *int64) {
	now, _ := r.p.Statuses.Instance(r.spec.Name)
	tries := retry.New(time.Second, 5*time.Second)
	for {
		seen, err := r.s.Engine.Inspect(ctx, now.ID)
		if err == nil && seen.State.Alive() {
			break
		}
		if err == nil || errdefs.IsNotFound(err) {
			return // it ended by itself meanwhile, which is its own reason
		}
		if tries.Failed(ctx, "a container that is to be stopped cannot be looked at, trying again", err) != nil {
			return
		}
	}
	a.killed = why
	// Not why: a probe's output may hold what must not be logged.
	log.G(ctx).WithField("container", r.spec.Name).Warn("container is stopped because a probe or its postStart hook failed")
	r.p.Observer.Report(ctx, EventUnhealthy, r.spec.Name, nil)
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) { s.Ready = false })
	period := GracePeriod(r.p.Spec, nil)
	if grace != nil {
		period = time.Duration(*grace) * time.Second
	}
	for {
		err := r.p.stopContainer(ctx, r.s.Sandbox, r.spec, period)
		if err == nil || tries.Failed(ctx, "a container could not be stopped, trying again", err) != nil {
			return
		}
	}
}
