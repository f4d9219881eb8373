package containers

import (
	"context"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// FindInstances looks up the containers of a pod from before a restart of
// docker-sd, so that status and logs are right from the first poll on.
// living says that the pod has not ended, so that statuses are taken from the engine.
func (p *Pod) FindInstances(ctx context.Context, s *Stay, living bool) {
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
