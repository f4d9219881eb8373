//go:build e2e

package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestRestartAlways polls as fast as it can: no answer may show the container
// terminated between two runs, since the Virtual Kubelet never asks again after
// that (protocol 2.2.3). Every poll checks that.
func TestRestartAlways(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{"after success": "exit 0", "after failure": "exit 9"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := newPod(shell("c", "usleep 100000; "+script))
			pod.Spec.RestartPolicy = v1.RestartPolicyAlways
			p := sharedDaemon(t).run(t, pod)
			backedOff := false
			seen := p.waitFor("the second restart", func(s podStatus) bool {
				backedOff = backedOff || waitingReason(s, "c") == "CrashLoopBackOff"
				return s.Container("c").RestartCount >= 2
			})
			if !backedOff {
				t.Error("CrashLoopBackOff was never seen")
			}
			last := seen.Container("c").LastTerminationState.Terminated
			if want := map[string]int32{"exit 0": 0, "exit 9": 9}[script]; last == nil || last.ExitCode != want {
				t.Errorf("lastState = %+v, want exit code %d", last, want)
			}
		})
	}
}

func TestRestartOnFailure(t *testing.T) {
	t.Parallel()
	pod := newPod(shell("c", "echo run >>/vol/runs; n=$(wc -l </vol/runs); echo attempt $n; test $n -ge 3"), shell("once", "echo once"))
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	p := sharedDaemon(t).run(t, withVolume(pod, emptyDir(), "/vol"))
	p.waitFor("the second run's back-off", func(s podStatus) bool {
		w := s.Container("c").State.Waiting
		// The first is without a pause.
		return w != nil && w.Reason == "CrashLoopBackOff" && strings.Contains(w.Message, "10s")
	})
	// Between two runs the last log is what people want.
	if got := p.logs("c", logOptions{}); got != "attempt 2\n" {
		t.Errorf("log between two runs = %q", got)
	}
	seen := p.waitPhase(v1.PodSucceeded)
	if got := seen.Container("c").RestartCount; got != 2 {
		t.Errorf("restartCount = %d, want 2", got)
	}
	if got := seen.Container("once").RestartCount; got != 0 {
		t.Errorf("restartCount of one that succeeded = %d", got)
	}
	if got := p.logs("c", logOptions{}); got != "attempt 3\n" {
		t.Errorf("log = %q", got)
	}
	if got := p.logs("c", logOptions{Previous: true}); got != "attempt 2\n" {
		t.Errorf("previous log = %q", got)
	}
	code, _ := p.d.must(t, http.MethodGet, "/getLogs", logBody(t, p.pod, "once", logOptions{Previous: true}))
	if code != http.StatusNotFound {
		t.Errorf("previous log of a container without restarts was answered with %d", code)
	}
}

// TestNoRestartAfterSuccess: OnFailure keeps what succeeded as it is while the
// other container goes on.
func TestNoRestartAfterSuccess(t *testing.T) {
	t.Parallel()
	pod := newPod(shell("done", "true"), shell("goes-on", untilStopped))
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	p := sharedDaemon(t).run(t, pod)
	seen := p.waitFor("one ended, one runs", func(s podStatus) bool {
		return s.Container("done").State.Terminated != nil && s.Container("goes-on").State.Running != nil
	})
	if got := seen.Container("done"); got.State.Terminated.ExitCode != 0 || got.RestartCount != 0 {
		t.Errorf("done = %+v", got)
	}
	if p.pod.Status.Phase != v1.PodRunning {
		t.Errorf("phase = %s", p.pod.Status.Phase)
	}
}
