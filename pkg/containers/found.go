package containers

import (
	"context"
	"strconv"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// FindInstances looks up the containers of a pod from before a restart of
// docker-sd, so that status and logs are right from the first poll on.
// living says that the pod has not ended, so that statuses are taken from the engine.
func (p *Pod) FindInstances(ctx context.Context, s *Stay, living bool) {
	if living {
		p.holdFound(ctx, s)
	}
	for _, list := range [][]v1.Container{p.Spec.Spec.InitContainers, p.Spec.Spec.Containers} {
		for i := range list {
			r := p.runner(&list[i], s, nil)
			seen, err := r.findInstance(ctx)
			if err != nil {
				log.G(ctx).WithField("container", r.spec.Name).WithError(err).Warn("container could not be looked up")
				continue
			}
			if seen.ID == "" {
				continue
			}
			p.Statuses.SetInstance(r.spec.Name, seen.ID)
			p.Images.Source.Hold(string(p.Spec.UID), seen.ImageID)
			if living {
				r.showFound(seen)
			}
		}
	}
}

// showFound shows a found instance as it is; the runner that follows goes on from there.
func (r *runner) showFound(seen engine.Container) {
	end := r.terminatedState(seen.State)
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		switch {
		case seen.State.Alive():
			s.State = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(seen.State.StartedAt)}}
			s.Ready = r.spec.ReadinessProbe == nil
		case seen.State.Status == engine.StatusCreated:
		case r.restarts(end):
			s.LastTerminationState = v1.ContainerState{Terminated: &end}
			s.State = podstatus.Waiting(podstatus.ReasonCrashLoop, "restarting after docker-sd was away")
			s.Ready, s.Started = false, new(bool)
		default:
			s.State = v1.ContainerState{Terminated: &end}
			s.Ready, s.Started = false, new(bool)
		}
	})
}

// findInstance returns the instance that an earlier docker-sd left, if any.
func (r *runner) findInstance(ctx context.Context) (engine.Container, error) {
	if !r.resume {
		return engine.Container{}, nil
	}
	r.resume = false
	name := podspec.ContainerName(r.p.Spec, r.spec.Name)
	if old, err := r.s.Engine.Inspect(ctx, name+previousSuffix); err == nil {
		r.p.Statuses.SetPrevious(r.spec.Name, old.ID)
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

// attemptOf is which run of its container an instance is, from 0.
func attemptOf(c engine.Container) int {
	n, _ := strconv.Atoi(c.Labels[engine.LabelAttempt])
	return n
}

// noteRestarts shows how the instance before the present one ended.
func (r *runner) noteRestarts(old *engine.Container) {
	end := r.terminatedState(old.State)
	end.ContainerID = engineID(old.ID)
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.LastTerminationState = v1.ContainerState{Terminated: &end}
	})
}

// noteImage shows which instance and image were found.
func (r *runner) noteImage(seen engine.Container) {
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.ContainerID, s.ImageID, s.RestartCount = engineID(seen.ID), engineID(seen.ImageID), int32(r.attempt)
	})
}
