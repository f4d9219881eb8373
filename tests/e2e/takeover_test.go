//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestPodsOutliveTheDaemon: they go on running without it, and the next one has
// them with the same JID, status and logs.
func TestPodsOutliveTheDaemon(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*daemon) error{"SIGTERM": (*daemon).stop, "SIGKILL": (*daemon).kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outlive(t, ownDaemon(t, 1, nil), end)
		})
	}
}

// content of a file that is there.
func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func outlive(t *testing.T, d *daemon, end func(*daemon) error) {
	dir := filepath.Join(d.hostPath(), "outlive")
	tick := "i=0; while :; do i=$((i+1)); echo $i >/vol/count.new; mv /vol/count.new /vol/count; test -e /vol/stop && exit 5; usleep 50000; done"
	living := d.run(t, withVolume(newPod(shell("c", "echo before; "+tick), shell("done", "echo done; exit 3")), hostDir(dir), "/vol"))
	ended := d.run(t, newPod(shell("c", "echo ended")))
	ended.waitPhase(v1.PodSucceeded)
	endedBefore := ended.status().Container("c")
	restarting := newPod(shell("c", "echo again; exit 1"))
	restarting.Spec.RestartPolicy = v1.RestartPolicyAlways
	crashing := d.run(t, restarting)
	crashing.waitFor("the first restart", func(s podStatus) bool { return s.Container("c").RestartCount >= 1 })
	deleted := d.run(t, newPod(shell("c", untilStopped)))
	deleted.delete(0)
	deleted.waitGone()
	before := living.waitFor("one runs, one ended", func(s podStatus) bool {
		return s.Container("c").State.Running != nil && s.Container("done").State.Terminated != nil
	}).Container("c")

	if err := end(d); err != nil {
		t.Fatal(err)
	}
	count := filepath.Join(dir, "count")
	at := content(t, count)
	eventually(t, runLimit, "the container works on without the daemon", func() bool { return content(t, count) != at }, nil)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)

	// No answer on the way may show the living pod as anything but running.
	seen := living.waitFor("the container is taken over", func(s podStatus) bool { return s.Container("c").State.Running != nil })
	after := seen.Container("c")
	if after.ContainerID != before.ContainerID || !after.State.Running.StartedAt.Equal(&before.State.Running.StartedAt) {
		t.Errorf("another container: %+v, before it was %+v", after, before)
	}
	living.waitFor("the ended container is taken over", func(s podStatus) bool {
		done := s.Container("done").State.Terminated
		return done != nil && done.ExitCode == 3
	})
	if got := living.logs("c", logOptions{}); got != "before\n" {
		t.Errorf("log = %q", got)
	}
	ended.waitFor("the ended pod is taken over", func(s podStatus) bool {
		end := s.Container("c").State.Terminated
		return end != nil && end.ExitCode == 0 && end.FinishedAt.Equal(&endedBefore.State.Terminated.FinishedAt)
	})
	eventually(t, runLimit, "the ended pod's log is there", func() bool { return ended.logs("c", logOptions{}) == "ended\n" }, nil)
	if code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(living.pod))); code != http.StatusOK || !strings.Contains(text, living.jid) {
		t.Errorf("create of a pod that was taken over was answered with %d %s, want its JID %s", code, text, living.jid)
	}
	if code, _ := d.must(t, http.MethodPost, "/create", encode(t, newCreate(deleted.pod))); code != http.StatusConflict {
		t.Errorf("create of a pod that was deleted before was answered with %d", code)
	}
	crashing.waitFor("another restart", func(s podStatus) bool { return s.Container("c").RestartCount >= 2 })
	touch(t, filepath.Join(dir, "stop"))
	if got := living.waitPhase(v1.PodFailed).Container("c").State.Terminated.ExitCode; got != 5 {
		t.Errorf("exit code after the restart = %d, want 5", got)
	}
}

func (d *daemon) waitReady(t *testing.T) {
	t.Helper()
	eventually(t, runLimit, "the daemon is ready", func() bool {
		code, _ := d.must(t, http.MethodGet, "/readyz", nil)
		return code == http.StatusOK
	}, d.log.String)
}

// TestCreateDuringStart: calls that come while the daemon starts are held back
// and not refused, since a refused create is a failed pod (protocol 1.4).
func TestCreateDuringStart(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	first := d.run(t, newPod(shell("c", untilStopped)))
	first.waitRunning()
	d.waitWarmBeside(t, 1)
	for range 3 {
		if err := d.kill(); err != nil {
			t.Fatal(err)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		// No wait for readiness: this is the point.
		p := d.run(t, newPod(shell("c", "echo early")))
		if got := p.output(); got != "early\n" {
			t.Errorf("log = %q", got)
		}
		if text := d.log.About(string(p.pod.UID)); strings.Contains(text, "no sandbox yet") {
			t.Errorf("the pod's first sandbox was lost: %s", text)
		}
		first.waitRunning()
	}
}

// TestStopEndsFollowedLogs: they would hold a shutdown up for ever.
func TestStopEndsFollowedLogs(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"ShutdownTimeout": (2 * runLimit).String()})
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	body := p.follow(t.Context(), "c")
	defer body.Close()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestEndWhileWarming: what a run left half-made is cleaned up by the next one,
// at the latest when it is older than StrayGracePeriod.
func TestEndWhileWarming(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 2, map[string]any{"StrayGracePeriod": "1s"})
	for name, end := range map[string]func(*daemon) error{"SIGTERM": (*daemon).stop, "SIGKILL": (*daemon).kill} {
		eventually(t, runLimit, "a sandbox is being made", func() bool {
			networks, err := suite.engine.networks(t.Context(), d.label())
			if err != nil {
				t.Fatal(err)
			}
			return len(networks) > 0
		}, nil)
		if err := end(d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
	}
	d.waitWarm(t, 2)
}

// waitWarmBeside waits for warm sandboxes while pods run.
func (d *daemon) waitWarmBeside(t *testing.T, n int) {
	t.Helper()
	eventually(t, runLimit, fmt.Sprintf("%d warm sandboxes", n), func() bool { return len(d.warm(t)) == n }, nil)
}

// TestWarmSandboxesAreUsedAgain after a restart, and those of other settings are
// removed.
func TestWarmSandboxesAreUsedAgain(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 2, nil)
	before := d.waitWarm(t, 2)
	restart := func() {
		t.Helper()
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		d.waitReady(t)
	}
	restart()
	for id := range d.waitWarm(t, 2) {
		if _, same := before[id]; !same {
			t.Errorf("sandbox %s was made although two were there", id)
		}
	}
	d.settings["HostPathPrefixes"] = []string{d.hostPath(), "/srv"}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	restart()
	d.waitRenewed(t, 2, before)
	d.waitWarm(t, 2)
}

// waitRenewed waits for n warm sandboxes, none of which was there before.
func (d *daemon) waitRenewed(t *testing.T, n int, before map[string]hostContainer) {
	t.Helper()
	eventually(t, runLimit, fmt.Sprintf("%d newer sandboxes", n), func() bool {
		now := d.warm(t)
		for id := range before {
			if _, old := now[id]; old {
				return false
			}
		}
		return len(now) == n
	}, d.log.String)
}

// loseSandboxes removes them all while the daemon is down.
func (d *daemon) loseSandboxes(t *testing.T) {
	t.Helper()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if err := suite.engine.removeInstance(t.Context(), d.instance); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
}

// TestLostWhileAway: a pod whose sandbox vanished while the daemon was down is
// reported as lost, and its delete cleans up.
func TestLostWhileAway(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	d.loseSandboxes(t)
	end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated
	if end.ExitCode != 137 || end.Reason != "ContainerStatusUnknown" || end.Message == "" {
		t.Errorf("end = %+v", end)
	}
}

// TestLostWhileAwayStartsOver: where the pod's policy has it run again, that its
// sandbox was lost while the daemon was down makes no difference.
func TestLostWhileAwayStartsOver(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	pod := newPod(shell("c", untilStopped))
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	p := d.run(t, pod)
	before := p.waitRunning().Container("c")
	d.loseSandboxes(t)
	after := p.waitRunning().Container("c")
	if after.ContainerID == before.ContainerID || after.RestartCount != 1 {
		t.Errorf("container %+v, before it was %+v", after, before)
	}
}

// TestDeleteOutlivesTheDaemon: nobody asks a second time, so an interrupted
// delete goes on after the restart (protocol 4).
func TestDeleteOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	p := d.run(t, newPod(shell("c", "trap '' TERM; while :; do usleep 50000; done")))
	p.waitRunning()
	p.delete(20)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if left, err := p.traces(); err != nil || len(left) == 0 {
		t.Fatalf("the pod was gone before the daemon: %v, %v", left, err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	if answer := d.poll(t, p.pod); len(answer) != 0 {
		t.Errorf("a deleted pod is in the status again: %+v", answer)
	}
	p.waitGone()
}

// TestDamagedRecord: one record that cannot be read must not keep the others,
// or the daemon, from starting.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(d.data(), "records", "00000000-0000-4000-8000-000000000000.json")
	body, err := json.Marshal(map[string]any{"version": 1, "checksum": "x", "record": nil})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	p.waitRunning()
	if !strings.Contains(d.log.String(), damaged) {
		t.Error("the log does not name the damaged record")
	}
	if err := os.Remove(damaged); err != nil {
		t.Fatal(err)
	}
}
