package containers

import (
	"time"

	"github.com/containerd/containerd/log"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// runner runs one container of a pod through all its restarts. It belongs to
// one goroutine.
type runner struct {
	p       *Pod
	spec    *v1.Container
	s       *Stay
	set     *Volumes
	init    bool
	attempt int
	// resume says that an instance may exist from before a restart of docker-sd, or of all
	// containers.
	resume bool
	// made says that this docker-sd made the instance, unsure that the engine died
	// while it was told to start it.
	made, unsure bool
	// refetch says that the image is asked for anew: with the one that was found the
	// container's configuration could not be carried out.
	refetch bool
	// began is when the present instance was started, by a clock that cannot be set.
	began time.Time
}

// runner returns the runner of a container of the pod. s and set are nil where only the
// container's rules are asked for.
func (p *Pod) runner(c *v1.Container, s *Stay, set *Volumes) *runner {
	r := &runner{p: p, spec: c, s: s, set: set, resume: s != nil && (s.Found || p.again)}
	if s != nil && s.Again {
		statuses, _ := p.Statuses.Snapshot()
		r.attempt = int(statuses[c.Name].RestartCount) + 1
	}
	for i := range p.Spec.Spec.InitContainers {
		r.init = r.init || &p.Spec.Spec.InitContainers[i] == c
	}
	return r
}

// terminatedFields say how a container ended; its message may hold what it wrote.
func terminatedFields(end v1.ContainerStateTerminated) log.Fields {
	return log.Fields{"exitCode": end.ExitCode, "reason": end.Reason}
}

// ran is how long the last instance did, as far as docker-sd saw it.
func (r *runner) ran() time.Duration {
	if r.began.IsZero() {
		return 0
	}
	return time.Since(r.began)
}

// mayHaveRun says of an instance that the engine calls created that it may have
// run all the same, in a pod that must not run twice: an engine that dies between
// starting a process and noting it forgets that it did. Of an earlier docker-sd
// it is not known whether it had told the engine to.
func (r *runner) mayHaveRun(seen engine.Container) bool {
	if r.p.Spec.Spec.RestartPolicy != v1.RestartPolicyNever {
		return false
	}
	if r.unsure || r.made || !r.s.Found {
		return r.unsure
	}
	began, err := r.s.EngineStarted()
	return err == nil && began.After(seen.Created)
}

// engineID is an id as Kubernetes writes it.
func engineID(id string) string { return "docker://" + id }

// previousSuffix is that of the instance before the present one.
const previousSuffix = "-previous"
