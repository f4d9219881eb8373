package containers

import (
	"context"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// afterSandboxStopped says whether an init container that has ended for good runs once
// more because the pod's sandbox was started again since: what it prepared in memory is
// gone, and kubelet runs init containers anew in a new sandbox. Nothing runs again where
// no main container will. A pod that must not run twice, and whose main containers have
// not run yet, cannot be helped: the init container then counts as lost with the sandbox.
func (p *Pod) afterSandboxStopped(c *v1.Container, s *Stay, end v1.ContainerStateTerminated) (repeats bool, _ v1.ContainerStateTerminated) {
	started := metav1.NewTime(s.Started)
	if podspec.IsSidecar(c) || !s.Found || !end.FinishedAt.Before(&started) {
		return false, end
	}
	if p.Spec.Spec.RestartPolicy != v1.RestartPolicyNever {
		return len(p.FinishedStatuses()) < len(p.Spec.Spec.Containers), end
	}
	if end.ExitCode == 0 && !p.anyMainRan() {
		end.ExitCode, end.Reason, end.Message = sigkilled, "Error", s.Loss
	}
	return false, end
}

// anyMainRan says that an instance of a main container exists.
func (p *Pod) anyMainRan() bool {
	for i := range p.Spec.Spec.Containers {
		if now, _ := p.Statuses.Instance(p.Spec.Spec.Containers[i].Name); now.ID != "" {
			return true
		}
	}
	return false
}

// runAgain puts the last run aside, which ended with end, and prepares the next.
func (r *runner) runAgain(ctx context.Context, end v1.ContainerStateTerminated) error {
	log.G(ctx).WithField("container", r.spec.Name).Info("the init container runs again, because the pod's sandbox was started again")
	r.p.Statuses.Update(r.spec.Name, func(s *v1.ContainerStatus) {
		s.LastTerminationState = v1.ContainerState{Terminated: &end}
		s.State = podstatus.Waiting(podstatus.ReasonInitializing, "")
		s.Ready, s.Started = false, new(bool)
	})
	if err := r.keepAsPrevious(ctx); err != nil {
		return err
	}
	r.attempt++
	return nil
}
