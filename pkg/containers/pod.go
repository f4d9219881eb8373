// Package containers runs the containers of one pod in the pod's sandbox: each through
// all its restarts, with its image, hooks, probes and end, and all of them to their stop.
// What exists and how it ended is read from the sandbox's engine, so the same code starts
// a pod and resumes one. The life of the pod around that is package pods' matter.
package containers

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Pod is one pod whose containers are run in a sandbox. Its fields are set before the
// first container is, and not changed after that.
type Pod struct {
	Spec *v1.Pod
	// Node is what a container's spec may hold on this node.
	Node podspec.Node
	// Statuses is where the containers' statuses are kept.
	Statuses *podstatus.Statuses
	Images   *Images
	// Accounts are shared by all pods.
	Accounts *Accounts
	Owner    Owner
	Observer Observer
	// Life is the context of calls that outlive the context of a container's run.
	Life context.Context
	// Cluster is the network of the pod's cluster, if it joins that.
	Cluster podspec.Cluster
	// PIDNamespace is what containers of a pod with shareProcessNamespace join, in the
	// engine's words, and "" for any other pod. It is set before a container is made.
	PIDNamespace string
	// Runtime makes the containers, one of the sandbox's engine; "" is its default.
	Runtime string
	// CgroupParent is the control group that the containers' own ones are made in, "" for
	// the engine's own choice. It is set before a container is made.
	CgroupParent string

	// restartAll ends the present run of all containers, see Everything. again says that
	// it is not the first in the pod's sandbox.
	restartAll context.CancelCauseFunc
	again      bool
}

// Owner is what containers ask and tell of the pod's life.
type Owner interface {
	// Started is told that an instance runs, and whether it is an init container's.
	Started(init bool)
	// Inject adds the devices that a container of the pod holds to its spec. The
	// variables of the container's image are known by then.
	Inject(container string, imageEnv []string, spec *engine.Spec) error
	// FinishedBefore is how a container ended for good in an earlier sandbox, nil if it
	// did not.
	FinishedBefore(container string) *v1.ContainerStateTerminated
}

// Stay is a pod's time in one sandbox.
type Stay struct {
	*sandbox.Sandbox
	// Found says that containers may exist in the sandbox from before: docker-sd was
	// restarted, or the sandbox stopped and was started again.
	Found bool
	// Again says that the pod's containers may have run in another sandbox.
	Again bool
	// Loss says why containers ended that ran when the sandbox stopped.
	Loss string
}

// Explain shows why the main containers wait that still do.
func (p *Pod) Explain(message string) {
	for i := range p.Spec.Spec.Containers {
		p.Statuses.Update(p.Spec.Spec.Containers[i].Name, func(s *v1.ContainerStatus) {
			if s.State.Waiting != nil {
				s.State.Waiting.Message = message
			}
		})
	}
}

// address of the pod, as it is told to its containers.
func (p *Pod) address(s *sandbox.Sandbox) string { return cmp.Or(p.Cluster.Address, s.IP) }

// target is where a container's probes and hooks find it. Their commands may refer to
// the variables of the container, as its own command may, but for those from files.
func (p *Pod) target(s *sandbox.Sandbox, c *v1.Container, id string) probes.Target {
	env := podspec.NewEnvironment(p.Spec, c, p.Node, p.address(s), nil)
	return probes.Target{
		PodIP:     func() string { return s.IP },
		Container: c,
		Exec: func(ctx context.Context, argv []string, out io.Writer) (int, error) {
			code, err := s.Engine.Exec(ctx, id, env.Expand(argv), out)
			if left := (&engine.UnfinishedError{}); errors.As(err, &left) && left.PID > 1 {
				killLeft(ctx, s, c, left.PID)
			}
			return code, err
		},
	}
}

// killLimit bounds the end of a command that ran out of time.
const killLimit = 5 * time.Second

// killLeft kills a command that ran out of time and what it has started, as kubelet has
// its runtime do: the next probe would add another one.
func killLeft(ctx context.Context, s *sandbox.Sandbox, c *v1.Container, pid int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
	defer cancel()
	if err := s.Init.Kill(ctx, pid); err != nil && !isGone(s) {
		log.G(ctx).WithField("container", c.Name).WithError(err).Warn("a command that ran out of time could not be killed")
	}
}

// isGone says that a sandbox has stopped.
func isGone(s *sandbox.Sandbox) bool {
	select {
	case <-s.Gone():
		return true
	default:
		return false
	}
}
