package pods

import (
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// Phase of a pod, as the people see it who run this node.
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
}

// List returns every pod that is kept, ordered by namespace and name. It asks no
// engine.
func (m *Manager) List() []View {
	m.mu.Lock()
	kept := make([]*pod, 0, len(m.pods))
	for _, p := range m.pods {
		kept = append(kept, p)
	}
	m.mu.Unlock()
	out := make([]View, 0, len(kept))
	for _, p := range kept {
		out = append(out, p.view())
	}
	slices.SortFunc(out, func(a, b View) int {
		return strings.Compare(a.Namespace+"/"+a.Name+"/"+string(a.UID), b.Namespace+"/"+b.Name+"/"+string(b.UID))
	})
	return out
}

func (p *pod) view() View {
	statuses, ended := p.snapshot()
	r := p.record.Load()
	out := View{UID: p.spec.UID, Namespace: p.spec.Namespace, Name: p.spec.Name, JID: r.JID, Created: r.Since,
		Phase: phaseOf(p.spec, statuses, ended, r.Stage.Deleting()), Containers: []ContainerView{}}
	if s := p.sandbox.Load(); s != nil && r.Stage != lifecycle.StageArchived {
		out.Sandbox, out.ContainerID, out.IP, out.Booted = s.Name, s.ID, s.IP, s.Booted
	}
	for i, c := range podspec.Containers(p.spec) {
		out.Containers = append(out.Containers, containerView(statuses[c.Name], i < len(p.spec.Spec.InitContainers)))
	}
	return out
}

// phaseOf is the pod's phase as kubelet computes it; deleted wins.
func phaseOf(spec *v1.Pod, statuses map[string]v1.ContainerStatus, ended, deleted bool) Phase {
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

// containerView leaves out messages that hold what a container wrote: those of
// an end, and of the wait after one.
func containerView(s v1.ContainerStatus, init bool) ContainerView {
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
		if end == nil {
			out.Message = s.State.Waiting.Message
		}
	}
	if end != nil {
		out.ExitCode, out.Started, out.Finished = &end.ExitCode, end.StartedAt.Time, end.FinishedAt.Time
	}
	return out
}
