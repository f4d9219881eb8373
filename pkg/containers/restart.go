package containers

import (
	"context"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// restarts applies the container's own rules and policy, then the pod's. A
// native sidecar always runs again, an init container only after a failure.
func (r *runner) restarts(end v1.ContainerStateTerminated) bool {
	if action(r.spec, end.ExitCode) != "" {
		return true
	}
	policy := r.p.Spec.Spec.RestartPolicy
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

// keepAsPrevious keeps the instance that ended as the previous one, for its log, and
// frees its name. Only one is kept, as by kubelet.
func (r *runner) keepAsPrevious(ctx context.Context) error {
	now, _ := r.p.Statuses.Instance(r.spec.Name)
	if now.ID == "" {
		return nil
	}
	previous := podspec.ContainerName(r.p.Spec, r.spec.Name) + previousSuffix
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
			r.p.Statuses.SetPrevious(r.spec.Name, now.ID)
			r.p.Statuses.SetInstance(r.spec.Name, "")
			return nil
		}
		if err := tries.Failed(ctx, "the container's last run could not be put aside, trying again", err); err != nil {
			return err
		}
	}
}

// FinishedStatuses are those of main containers that have ended and will not run again
// when the pod starts over; init containers do.
func (p *Pod) FinishedStatuses() []v1.ContainerStatus {
	statuses, _ := p.Statuses.Snapshot()
	var out []v1.ContainerStatus
	for i := range p.Spec.Spec.Containers {
		r := p.runner(&p.Spec.Spec.Containers[i], nil, nil)
		status := statuses[r.spec.Name]
		if end := status.State.Terminated; end != nil && !r.restarts(*end) {
			out = append(out, status)
		}
	}
	return out
}
