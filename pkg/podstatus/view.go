package podstatus

import (
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// Phase of a pod, as operators of this node see it.
type Phase string

// The phases. They are Kubernetes' own, in lower case, and one for a pod whose
// delete has come and of which something is left.
const (
	PhasePending   Phase = "pending"
	PhaseRunning   Phase = "running"
	PhaseSucceeded Phase = "succeeded"
	PhaseFailed    Phase = "failed"
	PhaseDeleting  Phase = "deleting"
)

// Phases lists all of them.
func Phases() []Phase {
	return []Phase{PhasePending, PhaseRunning, PhaseSucceeded, PhaseFailed, PhaseDeleting}
}

// View is what operators see of a pod: no variable, no file, and nothing that a
// container wrote.
type View struct {
	UID       types.UID `json:"uid"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Phase     Phase     `json:"phase"`
	JID       string    `json:"jid"`
	// Sandbox is the pool name of its sandbox, ContainerID that of the sandbox's
	// container on the host. Both are empty while the pod has none.
	Sandbox     string    `json:"sandbox,omitempty"`
	ContainerID string    `json:"containerID,omitempty"`
	IP          string    `json:"ip,omitempty"`
	Booted      time.Time `json:"booted,omitzero"`
	// Created is when the pod was admitted.
	Created    time.Time       `json:"created"`
	Containers []ContainerView `json:"containers"`
	// Network is nil for a pod that joins none of a cluster.
	Network *NetworkView `json:"network,omitempty"`
}

// NetworkView is what operators see of a pod in the network of its cluster: no key, and
// no part of a path.
type NetworkView struct {
	// Mode is mesh or tunnel.
	Mode string `json:"mode"`
	// Server is where the tunnel leads to, Address what the cluster knows the pod by.
	Server  string `json:"server"`
	Address string `json:"address,omitempty"`
	// Up says that the pod is in the network; Changed is since when, or since when not, and
	// Error then why not.
	Up      bool      `json:"up"`
	Changed time.Time `json:"changed,omitzero"`
	Error   string    `json:"error,omitempty"`
	// Handshake is when the other end of a mesh last answered.
	Handshake time.Time `json:"handshake,omitzero"`
	// Received and Sent are bytes of payload.
	Received int64 `json:"received"`
	Sent     int64 `json:"sent"`
	// Reconnections to the server, and Starts of the tunnel's process.
	Reconnections int `json:"reconnections"`
	Starts        int `json:"starts"`
}

// ContainerView is what operators see of a container. Times and the exit code
// are those of the present run, or of the last one if none is present.
type ContainerView struct {
	Name  string `json:"name"`
	Init  bool   `json:"init,omitempty"`
	Image string `json:"image"`
	// State is waiting, running or terminated.
	State string `json:"state"`
	// Reason is Kubernetes' word for the state; Message explains why it waits.
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
	ExitCode *int32    `json:"exitCode,omitempty"`
	Restarts int32     `json:"restarts"`
	Ready    bool      `json:"ready"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	// Pull is nil for a container that waits for no image.
	Pull *Pull `json:"pull,omitempty"`
}

// Pull is how far the pull is that a container waits for. Sizes are in bytes, as the registry
// sends them, of the layers that were missing.
type Pull struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Percent of the bytes that have come. It may fall while AtLeast says that the registry has
	// not told the size of every layer.
	Percent int64 `json:"percent"`
	AtLeast bool  `json:"atLeast,omitempty"`
	// Unpacking says that all bytes have come.
	Unpacking bool `json:"unpacking,omitempty"`
}

// PhaseOf is the pod's phase as kubelet computes it; deleted wins.
func PhaseOf(spec *v1.Pod, statuses map[string]v1.ContainerStatus, ended, deleted bool) Phase {
	began, failed := false, false
	for i := range spec.Spec.InitContainers {
		end := statuses[spec.Spec.InitContainers[i].Name].State.Terminated
		failed = failed || end != nil && end.ExitCode != 0 && !podspec.IsSidecar(&spec.Spec.InitContainers[i])
	}
	for i := range spec.Spec.Containers {
		status := statuses[spec.Spec.Containers[i].Name]
		end := status.State.Terminated
		failed = failed || end != nil && end.ExitCode != 0
		began = began || end != nil || status.State.Running != nil || status.LastTerminationState.Terminated != nil
	}
	switch {
	case deleted:
		return PhaseDeleting
	case ended && failed:
		return PhaseFailed
	case ended:
		return PhaseSucceeded
	case began:
		return PhaseRunning
	}
	return PhasePending
}

// Views are what operators see of a pod's containers.
func (s *Statuses) Views(spec *v1.Pod) []ContainerView {
	out := []ContainerView{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range podspec.Containers(spec) {
		view := ViewOf(s.statuses[c.Name], i < len(spec.Spec.InitContainers))
		if view.Reason == ReasonCreating || view.Reason == ReasonInitializing {
			view.Pull = s.pulls[c.Name]
		}
		out = append(out, view)
	}
	return out
}

// ViewOf is what operators see of a container. It leaves out messages that hold what a container wrote: those of
// an end, and of the wait after one. It also leaves out why an engine refused to make one, since the engine
// quotes values of the pod.
func ViewOf(s v1.ContainerStatus, init bool) ContainerView {
	out := ContainerView{Name: s.Name, Init: init, Image: s.Image, Restarts: s.RestartCount, Ready: s.Ready}
	end := s.LastTerminationState.Terminated
	switch {
	case s.State.Running != nil:
		out.State, out.Started = "running", s.State.Running.StartedAt.Time
		return out
	case s.State.Terminated != nil:
		out.State, out.Reason, end = "terminated", s.State.Terminated.Reason, s.State.Terminated
	case s.State.Waiting != nil:
		out.State, out.Reason = "waiting", s.State.Waiting.Reason
		if end == nil && out.Reason != ReasonCreate {
			out.Message = s.State.Waiting.Message
		}
	}
	if end != nil {
		out.ExitCode, out.Started, out.Finished = &end.ExitCode, end.StartedAt.Time, end.FinishedAt.Time
	}
	return out
}
