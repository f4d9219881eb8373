//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// beats is a script that counts in /vol/count as long as it runs, and ends with 5
// once somebody asks it to.
const beats = "i=0; while :; do i=$((i+1)); echo $i >/vol/count.new; mv /vol/count.new /vol/count; test -e /vol/stop && exit 5; usleep 50000; done"

// beating is a pod of that script, and where it counts.
func (d *daemon) beating(t *testing.T) (p *podRun, dir string) {
	t.Helper()
	dir = filepath.Join(d.hostPath(), "beats")
	p = d.run(t, withVolume(newPod(shell("c", beats)), hostDir(dir), "/vol"))
	p.waitRunning()
	return p, dir
}

func count(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "count"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tell sends a signal to the only engine in the daemon's sandboxes.
func (d *daemon) tell(t *testing.T, signal syscall.Signal) {
	t.Helper()
	engines := d.innerEngines(t.Errorf)
	if len(engines) != 1 {
		t.Fatalf("%d engines in sandboxes", len(engines))
	}
	if err := syscall.Kill(engines[0], signal); err != nil {
		t.Fatal(err)
	}
}

// TestInnerEngineIsKilled: the containers of a sandbox outlive their engine, and the
// one that follows tells how they ended.
func TestInnerEngineIsKilled(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"StandbySandboxes": 0})
	p, dir := d.beating(t)
	before := p.status().Container("c")
	d.tell(t, syscall.SIGKILL)
	at := count(t, dir)
	eventually(t, runLimit, "the container goes on", func() bool { return count(t, dir) != at }, nil)
	eventually(t, runLimit, "there is another engine", func() bool { return len(d.innerEngines(t.Errorf)) == 1 }, nil)
	if now := p.waitRunning().Container("c"); now.ContainerID != before.ContainerID || now.RestartCount != 0 {
		t.Errorf("another container: %+v, before it was %+v", now, before)
	}
	touch(t, filepath.Join(dir, "stop"))
	if end := p.waitPhase(v1.PodFailed).Container("c").State.Terminated; end.ExitCode != 5 {
		t.Errorf("end = %+v, want code 5", end)
	}
}

// TestInnerEngineHangs: it holds up nobody else, and its pod can be deleted.
func TestInnerEngineHangs(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"StandbySandboxes": 0})
	p, _ := d.beating(t)
	d.tell(t, syscall.SIGSTOP)
	if got := p.status().Container("c"); got.State.Running == nil {
		t.Errorf("status = %+v", got)
	}
	if got := d.run(t, newPod(shell("c", "echo works"))).output(); got != "works\n" {
		t.Errorf("log of another pod = %q", got)
	}
	began := time.Now()
	p.delete(1)
	p.waitGone()
	t.Logf("gone after %s", time.Since(began).Round(time.Second))
}

// TestHungSandboxIsNotLeftRunning: a docker-sd that finds an engine mute, and gives
// its pod up, ends the containers in there first. Their owner starts others.
func TestHungSandboxIsNotLeftRunning(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"StandbySandboxes": 0})
	p, dir := d.beating(t)
	d.tell(t, syscall.SIGSTOP)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	// The time that a sandbox has to answer, too.
	d.settings["SandboxBootTimeout"] = "10s"
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	at := ""
	p.waitFor("the pod is given up", func(s podStatus) bool {
		at = count(t, dir)
		return s.Container("c").State.Terminated != nil
	})
	<-time.After(time.Second) // twenty beats
	if now := count(t, dir); now != at {
		t.Errorf("its container goes on: %s, then %s", at, now)
	}
}
