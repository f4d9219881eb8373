package pods

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func running() v1.ContainerState {
	return v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.Now()}}
}

func exited(code int32) v1.ContainerState {
	return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: code, Reason: "Error", Message: "secret"}}
}

func TestPhaseOf(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	spec := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{Name: "init"}, {Name: "side", RestartPolicy: &always}},
		Containers:     []v1.Container{{Name: "a"}, {Name: "b"}}}}
	type states map[string]v1.ContainerState
	for name, c := range map[string]struct {
		states         states
		ended, deleted bool
		want           Phase
	}{
		"nothing runs":          {states{}, false, false, PhasePending},
		"an init container":     {states{"init": running()}, false, false, PhasePending},
		"a sidecar alone":       {states{"init": exited(0), "side": running()}, false, false, PhasePending},
		"one of two":            {states{"init": exited(0), "a": running()}, false, false, PhaseRunning},
		"one has ended":         {states{"init": exited(0), "a": exited(1)}, false, false, PhaseRunning},
		"all well":              {states{"init": exited(0), "side": exited(137), "a": exited(0), "b": exited(0)}, true, false, PhaseSucceeded},
		"one failed":            {states{"init": exited(0), "a": exited(0), "b": exited(2)}, true, false, PhaseFailed},
		"an init one failed":    {states{"init": exited(1)}, true, false, PhaseFailed},
		"deleted while running": {states{"a": running()}, false, true, PhaseDeleting},
		"deleted after its end": {states{"a": exited(0), "b": exited(0)}, true, true, PhaseDeleting},
	} {
		t.Run(name, func(t *testing.T) {
			statuses := map[string]v1.ContainerStatus{}
			for container, state := range c.states {
				statuses[container] = v1.ContainerStatus{Name: container, State: state}
			}
			if got := phaseOf(spec, statuses, c.ended, c.deleted); got != c.want {
				t.Errorf("phaseOf() = %s, want %s", got, c.want)
			}
		})
	}
	restarting := map[string]v1.ContainerStatus{"a": {State: waiting(reasonCrashLoop, ""), LastTerminationState: exited(1)}}
	if got := phaseOf(spec, restarting, false, false); got != PhaseRunning {
		t.Errorf("phaseOf() between two runs = %s, want %s", got, PhaseRunning)
	}
}

// What a container wrote is not shown to operators.
func TestContainerView(t *testing.T) {
	for name, c := range map[string]struct {
		status        v1.ContainerStatus
		state, reason string
		message       string
		code          int32
	}{
		"no image": {v1.ContainerStatus{State: waiting("ErrImagePull", "no such image")}, "waiting", "ErrImagePull", "no such image", -1},
		"running":  {v1.ContainerStatus{State: running(), LastTerminationState: exited(3)}, "running", "", "", -1},
		"ended":    {v1.ContainerStatus{State: exited(3)}, "terminated", "Error", "", 3},
		"between two runs": {v1.ContainerStatus{State: waiting(reasonCrashLoop, "it ended with 3: secret"), LastTerminationState: exited(3)},
			"waiting", reasonCrashLoop, "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			got := containerView(c.status, false)
			if got.State != c.state || got.Reason != c.reason || got.Message != c.message || strings.Contains(got.Message, "secret") {
				t.Errorf("containerView() = %+v", got)
			}
			if code := got.ExitCode; (code == nil) != (c.code < 0) || code != nil && *code != c.code {
				t.Errorf("exit code %v, want %d", code, c.code)
			}
		})
	}
}

func TestList(t *testing.T) {
	m := New(Config{}, nil, nil, nil)
	if list := m.List(); list == nil || len(list) != 0 {
		t.Errorf("List() of no pods = %v, want an empty list", list)
	}
	for _, name := range []string{"c", "a", "b"} {
		spec := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID("uid-" + name)},
			Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main", Image: "busybox"}}}}
		m.pods[spec.UID] = m.newPod(spec)
	}
	var names string
	for _, v := range m.List() {
		names += v.Name
		if v.Phase != PhasePending || len(v.Containers) != 1 || v.Containers[0].Reason != reasonCreating ||
			time.Since(v.Created) > time.Minute || v.Sandbox != "" {
			t.Errorf("List() has %+v", v)
		}
	}
	if names != "abc" {
		t.Errorf("List() is in the order %s, want abc", names)
	}
}
