package podstatus

import (
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// Report is a pod's status for interLink (protocol 2). Containers holds every
// container of the pod's spec exactly once, never none.
type Report struct {
	Containers     []v1.ContainerStatus
	InitContainers []v1.ContainerStatus
	JID            string
}

// Annotations that name containers which run in the cluster and never reach us
// (protocol 6.1).
const (
	localContainers     = "interlink.eu/disable-offload-containers"
	localInitContainers = "interlink.eu/disable-offload-init-containers"
)

// ReportOf says how a pod is doing in the terms that its caller understands.
// spec is the polled pod, whose container names must all be answered (protocol
// 2.2.2); known are the containers that we run.
func ReportOf(spec *v1.Pod, known map[string]v1.ContainerStatus, ended bool) Report {
	out := Report{InitContainers: initReport(spec, known, ended)}
	failed := failedInit(out.InitContainers, ended)
	for i := range spec.Spec.Containers {
		name := spec.Spec.Containers[i].Name
		status, ours := known[name]
		showReadiness(&spec.Spec.Containers[i], &status)
		switch {
		case !ours:
			status = localStatus(&spec.Spec.Containers[i], ended)
		case failed != nil && status.State.Terminated == nil:
			status = neverRan(status, failed)
		}
		out.Containers = append(out.Containers, status)
	}
	boundMessages(spec, out)
	return out
}

// maxPodMessages bounds the messages of a pod's containers together, as kubelet
// does: they are kept in the cluster's store.
const maxPodMessages = 12 << 10

// boundMessages cuts the messages of each container to its share of maxPodMessages.
func boundMessages(spec *v1.Pod, r Report) {
	share := maxPodMessages / max(len(spec.Spec.InitContainers)+len(spec.Spec.Containers), 1)
	for _, list := range [][]v1.ContainerStatus{r.InitContainers, r.Containers} {
		for i := range list {
			list[i].State = withinShare(list[i].State, share)
			list[i].LastTerminationState = withinShare(list[i].LastTerminationState, share)
		}
	}
}

// withinShare is a state whose message has at most share bytes. It leaves the state
// that it is given alone, which others hold too.
func withinShare(state v1.ContainerState, share int) v1.ContainerState {
	long := state.Waiting != nil && len(state.Waiting.Message) > share || state.Terminated != nil && len(state.Terminated.Message) > share
	if !long {
		return state
	}
	state = *state.DeepCopy()
	if w := state.Waiting; w != nil {
		w.Message = strings.ToValidUTF8(w.Message[:min(len(w.Message), share)], "")
	}
	if end := state.Terminated; end != nil {
		end.Message = strings.ToValidUTF8(end.Message[:min(len(end.Message), share)], "")
	}
	return state
}

// showReadiness reports a running container whose readiness probe has not
// succeeded as waiting. The caller sets ready on every running container
// whatever we say (protocol 2.2), so this is how a pod that is not ready is seen
// to be, and gets no traffic.
func showReadiness(c *v1.Container, status *v1.ContainerStatus) {
	if status.State.Running == nil || status.Ready || c.ReadinessProbe == nil {
		return
	}
	status.State = Waiting("NotReady", "the container has been running since "+
		status.State.Running.StartedAt.UTC().Format(time.RFC3339)+", its readiness probe does not succeed")
}

// localStatus stands for a container that runs in the cluster: running while
// any of ours lives, completed once all ended (protocol 2.2.9).
func localStatus(c *v1.Container, ended bool) v1.ContainerStatus {
	status := v1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: !ended}
	if ended {
		status.State.Terminated = &v1.ContainerStateTerminated{Reason: "Completed"}
	} else {
		status.State.Running = &v1.ContainerStateRunning{}
	}
	return status
}

// initReport lists init containers in spec order: those that ended, then the
// one that runs or waits, then those to come. After a failure for good only those that
// ran are listed (protocol 2.2.6).
func initReport(spec *v1.Pod, known map[string]v1.ContainerStatus, ended bool) []v1.ContainerStatus {
	var out []v1.ContainerStatus
	local, pending := localNames(spec, localInitContainers), false
	for i := range spec.Spec.InitContainers {
		c := &spec.Spec.InitContainers[i]
		status, ours := known[c.Name]
		switch {
		case !ours && local[c.Name]:
			status = v1.ContainerStatus{Name: c.Name, Image: c.Image}
			// Never ended after one that has not (protocol 2.2.7).
			status.State.Terminated = &v1.ContainerStateTerminated{Reason: "Completed"}
			if pending {
				status.State = Waiting(ReasonInitializing, "")
			}
		case !ours:
			continue
		case podspec.IsSidecar(c) && hasStarted(status):
			out = append(out, startedSidecar(status))
			continue
		case ended && status.State.Terminated == nil:
			continue
		case !podspec.IsSidecar(c):
			end := status.State.Terminated
			status.Ready = end != nil && end.ExitCode == 0
		}
		out = append(out, status)
		pending = pending || status.State.Terminated == nil
	}
	return out
}

// hasStarted says that a container has run, whatever it does now.
func hasStarted(status v1.ContainerStatus) bool {
	return status.State.Running != nil || status.State.Terminated != nil || status.LastTerminationState.Terminated != nil
}

// startedSidecar is the status of a native sidecar without its state: one that runs, or
// waits to run again, would keep the pod Pending, and one that is left out would keep
// its former entry (protocol 2.2.8). One that waits or has ended counts as started, so
// that people see the pod's main containers.
func startedSidecar(status v1.ContainerStatus) v1.ContainerStatus {
	if status.State.Running == nil {
		status.Started = new(true)
	}
	status.State = v1.ContainerState{}
	return status
}

// localNames are the containers that an annotation of the pod lists.
func localNames(pod *v1.Pod, annotation string) map[string]bool {
	names := map[string]bool{}
	for name := range strings.SplitSeq(pod.Annotations[annotation], ",") {
		names[strings.TrimSpace(name)] = true
	}
	return names
}

// failedInit is the init container whose end stopped the pod, nil if none did.
func failedInit(inits []v1.ContainerStatus, ended bool) *v1.ContainerStatus {
	if !ended {
		return nil
	}
	at := slices.IndexFunc(inits, func(s v1.ContainerStatus) bool {
		return s.State.Terminated != nil && s.State.Terminated.ExitCode != 0
	})
	if at < 0 {
		return nil
	}
	return &inits[at]
}

// neverRan reports a container that a failed init container kept from starting.
func neverRan(status v1.ContainerStatus, init *v1.ContainerStatus) v1.ContainerStatus {
	end := init.State.Terminated
	status.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
		ExitCode: end.ExitCode, Reason: "Error", FinishedAt: end.FinishedAt, StartedAt: end.FinishedAt,
		Message: "not started: init container " + init.Name + " " + EndedWith(end),
	}}
	status.Ready = false
	return status
}

// Uniform is the report of a pod of which we know nothing but its spec.
func Uniform(spec *v1.Pod, state v1.ContainerState) Report {
	var out Report
	for i := range spec.Spec.Containers {
		c := &spec.Spec.Containers[i]
		out.Containers = append(out.Containers, v1.ContainerStatus{Name: c.Name, Image: c.Image, State: *state.DeepCopy()})
	}
	return out
}
