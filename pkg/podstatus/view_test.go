package podstatus

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
			if got := PhaseOf(spec, statuses, c.ended, c.deleted); got != c.want {
				t.Errorf("phaseOf() = %s, want %s", got, c.want)
			}
		})
	}
	restarting := map[string]v1.ContainerStatus{"a": {State: Waiting(ReasonCrashLoop, ""), LastTerminationState: exited(1)}}
	if got := PhaseOf(spec, restarting, false, false); got != PhaseRunning {
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
		"no image": {v1.ContainerStatus{State: Waiting("ErrImagePull", "no such image")}, "waiting", "ErrImagePull", "no such image", -1},
		"refused":  {v1.ContainerStatus{State: Waiting(ReasonCreate, "no folder: secret")}, "waiting", ReasonCreate, "", -1},
		"running":  {v1.ContainerStatus{State: running(), LastTerminationState: exited(3)}, "running", "", "", -1},
		"ended":    {v1.ContainerStatus{State: exited(3)}, "terminated", "Error", "", 3},
		"between two runs": {v1.ContainerStatus{State: Waiting(ReasonCrashLoop, "it ended with 3: secret"), LastTerminationState: exited(3)},
			"waiting", ReasonCrashLoop, "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			got := ViewOf(c.status, false)
			if got.State != c.state || got.Reason != c.reason || got.Message != c.message || strings.Contains(got.Message, "secret") {
				t.Errorf("containerView() = %+v", got)
			}
			if code := got.ExitCode; (code == nil) != (c.code < 0) || code != nil && *code != c.code {
				t.Errorf("exit code %v, want %d", code, c.code)
			}
		})
	}
}
