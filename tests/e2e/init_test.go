//go:build e2e

package e2e_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func withInits(pod *v1.Pod, inits ...v1.Container) *v1.Pod {
	pod.Spec.InitContainers = append(pod.Spec.InitContainers, inits...)
	return pod
}

func sidecar(c v1.Container) v1.Container {
	always := v1.ContainerRestartPolicyAlways
	c.RestartPolicy = &always
	return c
}

func TestInitContainersRunInOrder(t *testing.T) {
	t.Parallel()
	pod := withInits(newPod(shell("main", "cat /vol/order")),
		shell("one", "usleep 200000; echo one | tee -a /vol/order"), shell("two", "usleep 200000; echo two | tee -a /vol/order"))
	p := sharedDaemon(t).run(t, withVolume(pod, emptyDir(), "/vol"))
	waited := false
	p.waitFor("the pod has ended", func(s podStatus) bool {
		if p.pod.Status.Phase == v1.PodPending {
			waited = true
			if reason := waitingReason(s, "main"); reason != "PodInitializing" && reason != "ContainerCreating" {
				t.Fatalf("main waits for %q during initialisation: %+v", reason, s)
			}
		}
		return p.pod.Status.Phase == v1.PodSucceeded
	})
	if !waited {
		t.Error("the pod was never seen pending")
	}
	for name, want := range map[string]string{"one": "one\n", "two": "two\n", "main": "one\ntwo\n"} {
		if got := p.logs(name, logOptions{}); got != want {
			t.Errorf("log of %s = %q, want %q", name, got, want)
		}
	}
}

// TestFailedInitContainer: a pod whose init container failed for good must end,
// else it stays Pending for ever (protocol 2.2.6).
func TestFailedInitContainer(t *testing.T) {
	t.Parallel()
	pod := withInits(newPod(shell("a", "true"), shell("b", "true")),
		shell("fine", "true"), shell("fails", "echo broken; exit 7"), shell("later", "true"))
	p := sharedDaemon(t).run(t, pod)
	seen := p.waitPhase(v1.PodFailed)
	if len(seen.InitContainers) != 2 || seen.InitContainers[0].State.Terminated.ExitCode != 0 ||
		seen.InitContainers[1].State.Terminated.ExitCode != 7 {
		t.Errorf("init containers = %s", encode(t, seen.InitContainers))
	}
	for _, c := range seen.Containers {
		if end := c.State.Terminated; end == nil || end.ExitCode != 7 || !strings.Contains(end.Message, "init container") {
			t.Errorf("container %s = %+v", c.Name, c.State)
		}
	}
	if got := p.logs("fails", logOptions{}); got != "broken\n" {
		t.Errorf("log of the failed one = %q", got)
	}
	if got := p.logs("a", logOptions{}); got != "" {
		t.Errorf("log of one that never ran = %q", got)
	}
}

// TestInitContainerIsTriedAgain: only restartPolicy Never makes a failure final.
func TestInitContainerIsTriedAgain(t *testing.T) {
	t.Parallel()
	pod := withInits(newPod(shell("main", "echo ran")), shell("flaky", "test -e /vol/been || { touch /vol/been; exit 1; }"))
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	p := sharedDaemon(t).run(t, withVolume(pod, emptyDir(), "/vol"))
	seen := p.waitPhase(v1.PodSucceeded)
	if got := seen.Container("flaky"); got.RestartCount != 1 {
		t.Errorf("restartCount = %d, want 1", got.RestartCount)
	}
}

// TestNativeSidecar: it starts before the main container, is listed without a state
// once it runs (protocol 2.2.8), and ends with the pod.
func TestNativeSidecar(t *testing.T) {
	t.Parallel()
	helper := sidecar(shell("helper", "echo up; touch /vol/up; "+untilStopped))
	pod := withInits(newPod(shell("main", "until test -e /vol/up; do usleep 20000; done; test -e /vol/checked && usleep 300000")),
		helper, shell("check", "until test -e /vol/up; do usleep 20000; done; touch /vol/checked"))
	p := sharedDaemon(t).run(t, withVolume(pod, emptyDir(), "/vol"))
	seen := p.waitPhase(v1.PodSucceeded)
	for _, c := range seen.InitContainers {
		if c.Name == "helper" && (c.State != v1.ContainerState{}) {
			t.Errorf("the sidecar is listed at the end as %+v", c.State)
		}
	}
	if got := p.logs("helper", logOptions{}); got != "up\n" {
		t.Errorf("log of the sidecar = %q", got)
	}
}
