package podstatus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var testTime = metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

func runningState() v1.ContainerState {
	return v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: testTime}}
}

func endedState(code int32) v1.ContainerState {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: code, Reason: reason, FinishedAt: testTime}}
}

func crashed(restarts int32) v1.ContainerStatus {
	return v1.ContainerStatus{State: Waiting(ReasonCrashLoop, ""), LastTerminationState: endedState(1), RestartCount: restarts}
}

// podWith has init containers i0, i1, ... and main containers m0, m1, ...
func podWith(inits, mains int) *v1.Pod {
	pod := plainPod()
	pod.Spec.Containers = nil
	for i := range inits {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, v1.Container{Name: fmt.Sprintf("i%d", i), Image: "busybox"})
	}
	for i := range mains {
		pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: fmt.Sprintf("m%d", i), Image: "busybox"})
	}
	return pod
}

func asSidecar(pod *v1.Pod, i int) {
	pod.Spec.InitContainers[i].RestartPolicy = new(v1.ContainerRestartPolicyAlways)
}

func known(states map[string]v1.ContainerState) map[string]v1.ContainerStatus {
	out := map[string]v1.ContainerStatus{}
	for name, state := range states {
		out[name] = v1.ContainerStatus{Name: name, Image: "busybox", State: state}
	}
	return out
}

// phase is how the Virtual Kubelet reads a container's state.
func phase(s v1.ContainerStatus) string {
	switch {
	case s.State.Running != nil:
		return "running"
	case s.State.Waiting != nil:
		return "waiting"
	case s.State.Terminated != nil:
		return fmt.Sprintf("ended %d", s.State.Terminated.ExitCode)
	}
	return "none"
}

// phases lists "name phase" for each status.
func phases(list []v1.ContainerStatus) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, s.Name+" "+phase(s))
	}
	return out
}

func names(list []v1.ContainerStatus) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Name)
	}
	return out
}

func allEnded(list []v1.ContainerStatus) bool {
	return !slices.ContainsFunc(list, func(s v1.ContainerStatus) bool { return s.State.Terminated == nil })
}

func wantReport(t *testing.T, got Report, inits, mains []string) {
	t.Helper()
	if diff := cmp.Diff(inits, phases(got.InitContainers)); diff != "" {
		t.Errorf("init containers: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(mains, phases(got.Containers)); diff != "" {
		t.Errorf("containers: -want +got:\n%s", diff)
	}
}

// TestTrap1NoListIsEmpty: an empty list means that the pod succeeded.
func TestTrap1NoListIsEmpty(t *testing.T) {
	pod := podWith(1, 2)
	for _, ended := range []bool{false, true} {
		if got := ReportOf(pod, nil, ended); len(got.Containers) != 2 {
			t.Errorf("ended %t: %v", ended, phases(got.Containers))
		}
	}
	if got := Uniform(pod, Waiting(ReasonCreating, "")); len(got.Containers) != 2 || allEnded(got.Containers) {
		t.Errorf("a pod that is not known: %v", phases(got.Containers))
	}
}

// TestTrap2EveryContainerOnce goes through a grid of states: whatever is known,
// the answer has each container of the spec exactly once, and no other.
func TestTrap2EveryContainerOnce(t *testing.T) {
	states := map[string]*v1.ContainerState{
		"missing": nil, "none": {}, "waiting": new(Waiting(ReasonCreating, "")), "crashed": new(crashed(1).State),
		"running": new(runningState()), "ended 0": new(endedState(0)), "ended 1": new(endedState(1)),
	}
	pod := podWith(3, 2)
	asSidecar(pod, 1)
	pod.Spec.Containers[1].ReadinessProbe = &v1.Probe{}
	order := []string{"i0", "i1", "i2", "m0", "m1"}
	var try func(have map[string]v1.ContainerState, left []string)
	try = func(have map[string]v1.ContainerState, left []string) {
		if len(left) > 0 {
			for _, state := range states {
				delete(have, left[0])
				if state != nil {
					have[left[0]] = *state
				}
				try(have, left[1:])
			}
			return
		}
		statuses := known(have)
		statuses["stranger"] = v1.ContainerStatus{Name: "stranger", State: endedState(0)}
		for _, ended := range []bool{false, true} {
			got := ReportOf(pod, statuses, ended)
			if !slices.Equal(names(got.Containers), []string{"m0", "m1"}) {
				t.Fatalf("ended %t, %v: containers %v", ended, have, phases(got.Containers))
			}
			listed := names(got.InitContainers)
			if inits := order[:3]; !slices.IsSorted(listed) || len(slices.Compact(slices.Clone(listed))) != len(listed) ||
				slices.ContainsFunc(listed, func(name string) bool { return !slices.Contains(inits, name) }) {
				t.Fatalf("ended %t, %v: init containers %v", ended, have, listed)
			}
			alive := slices.ContainsFunc([]string{"m0", "m1"}, func(name string) bool {
				state, ours := have[name]
				return ours && state.Terminated == nil
			})
			if !ended && alive && allEnded(got.Containers) {
				t.Fatalf("%v: a living pod is reported as ended", have)
			}
		}
	}
	try(map[string]v1.ContainerState{}, order)
}

// TestTrap3NoEndBetweenRestarts: ended is final for the caller.
func TestTrap3NoEndBetweenRestarts(t *testing.T) {
	pod := podWith(0, 2)
	s := New(pod)
	s.Update("m0", func(c *v1.ContainerStatus) { c.State = endedState(0) })
	s.Update("m1", func(c *v1.ContainerStatus) {
		c.State, c.LastTerminationState, c.RestartCount = Waiting(ReasonCrashLoop, "back-off"), endedState(3), 4
	})
	statuses, ended := s.Snapshot()
	got := ReportOf(pod, statuses, ended)
	wantReport(t, got, []string{}, []string{"m0 ended 0", "m1 waiting"})
	again := got.Containers[1]
	if again.State.Waiting.Reason != ReasonCrashLoop || again.RestartCount != 4 ||
		again.LastTerminationState.Terminated == nil || again.LastTerminationState.Terminated.ExitCode != 3 {
		t.Errorf("a container that waits for its restart is reported as %+v", again)
	}
}

// TestTrap5InitPhase: the caller counts what is listed, so all of them are.
func TestTrap5InitPhase(t *testing.T) {
	pod := podWith(3, 1)
	wait := Waiting(ReasonInitializing, "")
	for name, c := range map[string]struct {
		states []v1.ContainerState
		inits  []string
	}{
		"before the first": {[]v1.ContainerState{wait, wait, wait}, []string{"i0 waiting", "i1 waiting", "i2 waiting"}},
		"the first runs":   {[]v1.ContainerState{runningState(), wait, wait}, []string{"i0 running", "i1 waiting", "i2 waiting"}},
		"the second runs":  {[]v1.ContainerState{endedState(0), runningState(), wait}, []string{"i0 ended 0", "i1 running", "i2 waiting"}},
		"between two":      {[]v1.ContainerState{endedState(0), endedState(0), wait}, []string{"i0 ended 0", "i1 ended 0", "i2 waiting"}},
		"all have ended":   {[]v1.ContainerState{endedState(0), endedState(0), endedState(0)}, []string{"i0 ended 0", "i1 ended 0", "i2 ended 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReportOf(pod, known(map[string]v1.ContainerState{"i0": c.states[0], "i1": c.states[1], "i2": c.states[2], "m0": wait}), false)
			wantReport(t, got, c.inits, []string{"m0 waiting"})
		})
	}
	statuses, ended := New(pod).Snapshot()
	wantReport(t, ReportOf(pod, statuses, ended), []string{"i0 waiting", "i1 waiting", "i2 waiting"}, []string{"m0 waiting"})
	if got := statuses["m0"].State.Waiting.Reason; got != ReasonInitializing {
		t.Errorf("a new pod's main container waits for %s", got)
	}
}

// TestTrap6InitFailedForGood: nothing may be left waiting.
func TestTrap6InitFailedForGood(t *testing.T) {
	pod := podWith(3, 2)
	wait := Waiting(ReasonInitializing, "")
	statuses := known(map[string]v1.ContainerState{"i0": endedState(0), "i1": endedState(5), "i2": wait, "m0": wait, "m1": wait})
	got := ReportOf(pod, statuses, true)
	wantReport(t, got, []string{"i0 ended 0", "i1 ended 5"}, []string{"m0 ended 5", "m1 ended 5"})
	for _, c := range got.Containers {
		if c.Ready || c.State.Terminated.FinishedAt != testTime || c.State.Terminated.Reason != "Error" {
			t.Errorf("%s is reported as %+v", c.Name, c)
		}
	}
	t.Run("while it is tried again", func(t *testing.T) {
		statuses := known(map[string]v1.ContainerState{"i0": endedState(0), "i1": Waiting(ReasonCrashLoop, ""), "i2": wait, "m0": wait, "m1": wait})
		wantReport(t, ReportOf(pod, statuses, false), []string{"i0 ended 0", "i1 waiting", "i2 waiting"}, []string{"m0 waiting", "m1 waiting"})
	})
	t.Run("beside a sidecar", func(t *testing.T) {
		pod := pod.DeepCopy()
		asSidecar(pod, 0)
		statuses := known(map[string]v1.ContainerState{"i0": endedState(143), "i1": endedState(5), "i2": wait, "m0": wait, "m1": wait})
		wantReport(t, ReportOf(pod, statuses, true), []string{"i0 none", "i1 ended 5"}, []string{"m0 ended 5", "m1 ended 5"})
	})
}

// TestTrap6AllAreEnded: a pod that lost its sandbox while it initialized.
func TestTrap6AllAreEnded(t *testing.T) {
	pod := podWith(2, 1)
	s := New(pod)
	s.Update("i0", func(c *v1.ContainerStatus) { c.State = endedState(0) })
	s.EndRemaining(func(v1.ContainerStatus) v1.ContainerState { return endedState(137) })
	s.MarkEnded()
	statuses, ended := s.Snapshot()
	wantReport(t, ReportOf(pod, statuses, ended), []string{"i0 ended 0", "i1 ended 137"}, []string{"m0 ended 137"})
}

// TestTrap7InitStatesAreMonotone: ended, then at most one that runs or waits,
// then waiting; also where one of them runs in the cluster.
func TestTrap7InitStatesAreMonotone(t *testing.T) {
	wait := Waiting(ReasonInitializing, "")
	progress := [][]v1.ContainerState{
		{wait, wait, wait}, {runningState(), wait, wait}, {endedState(0), wait, wait}, {endedState(0), runningState(), wait},
		{endedState(0), endedState(0), wait}, {endedState(0), endedState(0), runningState()}, {endedState(0), endedState(0), endedState(0)},
	}
	for local := -1; local < 3; local++ {
		t.Run(fmt.Sprintf("local %d", local), func(t *testing.T) {
			for _, states := range progress {
				pod, have := podWith(3, 1), map[string]v1.ContainerState{"m0": wait}
				for i, state := range states {
					have[fmt.Sprintf("i%d", i)] = state
				}
				if local >= 0 {
					name := fmt.Sprintf("i%d", local)
					pod.Annotations = map[string]string{localInitContainers: "x, " + name}
					delete(have, name)
				}
				got := ReportOf(pod, known(have), false).InitContainers
				ended := true
				for i, c := range got {
					if i > 0 && c.State.Waiting == nil && !ended {
						t.Errorf("%v: %s after one that has not ended", phases(got), c.Name)
					}
					ended = ended && c.State.Terminated != nil
				}
			}
		})
	}
}

// TestTrap8Sidecars: a running init container keeps the pod Pending.
func TestTrap8Sidecars(t *testing.T) {
	pod := podWith(2, 1)
	asSidecar(pod, 0)
	wait := Waiting(ReasonInitializing, "")
	again := crashed(0)
	again.Name = "i0"
	for name, c := range map[string]struct {
		sidecar     v1.ContainerStatus
		next, main  v1.ContainerState
		ended       bool
		inits, want []string
	}{
		"not started":       {v1.ContainerStatus{Name: "i0", State: wait}, wait, wait, false, []string{"i0 waiting", "i1 waiting"}, []string{"m0 waiting"}},
		"image is missing":  {v1.ContainerStatus{Name: "i0", State: Waiting("ImagePullBackOff", "")}, wait, wait, false, []string{"i0 waiting", "i1 waiting"}, []string{"m0 waiting"}},
		"started":           {v1.ContainerStatus{Name: "i0", State: runningState()}, runningState(), wait, false, []string{"i0 none", "i1 running"}, []string{"m0 waiting"}},
		"beside main":       {v1.ContainerStatus{Name: "i0", State: runningState()}, endedState(0), runningState(), false, []string{"i0 none", "i1 ended 0"}, []string{"m0 running"}},
		"in its back-off":   {again, endedState(0), runningState(), false, []string{"i0 none", "i1 ended 0"}, []string{"m0 running"}},
		"stopped after all": {v1.ContainerStatus{Name: "i0", State: endedState(143)}, endedState(0), endedState(0), true, []string{"i0 none", "i1 ended 0"}, []string{"m0 ended 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			statuses := known(map[string]v1.ContainerState{"i1": c.next, "m0": c.main})
			statuses["i0"] = c.sidecar
			got := ReportOf(pod, statuses, c.ended)
			wantReport(t, got, c.inits, c.want)
			side := got.InitContainers[0]
			if empty := side.State == (v1.ContainerState{}); empty != (c.inits[0] == "i0 none") {
				t.Errorf("the sidecar's state is %+v", side.State)
			}
			if running := c.sidecar.State.Running != nil; !running && strings.HasSuffix(c.inits[0], "none") && !*side.Started {
				t.Error("the sidecar does not count as started")
			}
		})
	}
}

// TestReadyOfInitContainers: one that runs is not ready, one that has succeeded is.
func TestReadyOfInitContainers(t *testing.T) {
	pod := podWith(1, 1)
	for name, c := range map[string]struct {
		state v1.ContainerState
		want  bool
	}{"waiting": {Waiting(ReasonInitializing, ""), false}, "running": {runningState(), false}, "succeeded": {endedState(0), true}, "failed": {endedState(1), false}} {
		for _, said := range []bool{false, true} {
			statuses := known(map[string]v1.ContainerState{"i0": c.state, "m0": Waiting(ReasonInitializing, "")})
			status := statuses["i0"]
			status.Ready = said
			statuses["i0"] = status
			if got := ReportOf(pod, statuses, false).InitContainers[0].Ready; got != c.want {
				t.Errorf("%s, said to be ready %t: %t", name, said, got)
			}
		}
	}
}

// TestTrap9ContainersOfTheCluster live as long as any of ours.
func TestTrap9ContainersOfTheCluster(t *testing.T) {
	pod := podWith(2, 2)
	pod.Annotations = map[string]string{localContainers: "m1", localInitContainers: "i0"}
	wantReport(t, ReportOf(pod, known(map[string]v1.ContainerState{"i1": endedState(0), "m0": runningState()}), false),
		[]string{"i0 ended 0", "i1 ended 0"}, []string{"m0 running", "m1 running"})
	wantReport(t, ReportOf(pod, known(map[string]v1.ContainerState{"i1": endedState(0), "m0": endedState(0)}), true),
		[]string{"i0 ended 0", "i1 ended 0"}, []string{"m0 ended 0", "m1 ended 0"})
	wantReport(t, ReportOf(pod, known(map[string]v1.ContainerState{"i1": endedState(0), "m0": endedState(2)}), true),
		[]string{"i0 ended 0", "i1 ended 0"}, []string{"m0 ended 2", "m1 ended 0"})
}

// TestTrap10NothingIsLost: what kubectl shows goes through as it is.
func TestTrap10NothingIsLost(t *testing.T) {
	pod := podWith(1, 1)
	for _, state := range []v1.ContainerState{runningState(), endedState(9), Waiting("ErrImagePull", "no such image")} {
		full := v1.ContainerStatus{Name: "m0", Image: "busybox", ImageID: "docker://sha256:1", ContainerID: "docker://2", Ready: true,
			Started: new(true), RestartCount: 3, LastTerminationState: endedState(1), State: state}
		init := full
		init.Name, init.State = "i0", endedState(0)
		got := ReportOf(pod, map[string]v1.ContainerStatus{"i0": init, "m0": full}, false)
		if diff := cmp.Diff(Report{Containers: []v1.ContainerStatus{full}, InitContainers: []v1.ContainerStatus{init}}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// TestReadinessIsSeen: ready cannot be told otherwise (protocol 2.2).
func TestReadinessIsSeen(t *testing.T) {
	pod := podWith(0, 1)
	pod.Spec.Containers[0].ReadinessProbe = &v1.Probe{}
	status := v1.ContainerStatus{Name: "m0", State: runningState(), RestartCount: 2, Started: new(true)}
	got := ReportOf(pod, map[string]v1.ContainerStatus{"m0": status}, false).Containers[0]
	want := status
	want.State = Waiting("NotReady", "the container has been running since 2026-03-01T12:00:00Z, its readiness probe does not succeed")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("not ready: -want +got:\n%s", diff)
	}
	status.Ready = true
	if got := ReportOf(pod, map[string]v1.ContainerStatus{"m0": status}, false).Containers[0]; got.State.Running == nil {
		t.Errorf("ready: %s", phase(got))
	}
	pod.Spec.Containers[0].ReadinessProbe, status.Ready = nil, false
	if got := ReportOf(pod, map[string]v1.ContainerStatus{"m0": status}, false).Containers[0]; got.State.Running == nil {
		t.Errorf("without a probe: %s", phase(got))
	}
}
