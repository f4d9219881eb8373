//go:build e2e

package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestHostReboots: docker-sd and all containers end at once, and when both are
// back the host has another boot id. A boot is simulated by writing another one
// into the records.
func TestHostReboots(t *testing.T) {
	t.Parallel()
	for name, holders := range map[string]int{"networks of their own": 0, "networks made ahead": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testHostReboots(t, holders)
		})
	}
}

func testHostReboots(t *testing.T, holders int) {
	const pool = 1
	d := ownDaemon(t, pool, map[string]any{"NetworkHolders": holders})
	d.waitHolders(t, holders)
	policies := []v1.RestartPolicy{v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever}
	script := "echo run >>/vol/runs; echo $(wc -l </vol/runs); " + untilStopped
	pods := map[v1.RestartPolicy]*podRun{}
	for _, policy := range policies {
		pod := withVolume(newPod(shell("c", script), shell("done", "echo done; exit 0")), emptyDir(), "/vol")
		pod.Spec.RestartPolicy = policy
		if policy == v1.RestartPolicyAlways {
			pod.Spec.Containers = pod.Spec.Containers[:1]
		}
		pods[policy] = d.run(t, pod)
	}
	// The sandbox of this one does not even exist any more.
	wiped := newPod(shell("c", "echo wiped; "+untilStopped))
	wiped.Spec.RestartPolicy = v1.RestartPolicyAlways
	lost := d.run(t, wiped)
	for _, p := range pods {
		p.waitFor("it runs", func(s podStatus) bool { return s.Container("c").State.Running != nil })
		p.sandbox()
	}
	lost.waitRunning()
	gone := lost.sandbox().ID
	d.waitMadeAhead(t, pool, holders)
	if held := len(d.holders(t)) - holders; held == 0 && holders > 0 {
		t.Error("no sandbox is in a network that was made ahead")
	}
	d.crashWithHost(t, gone)
	d.waitReady(t)
	for _, policy := range policies[:2] {
		seen := pods[policy].waitFor("the pod runs again", func(s podStatus) bool { return s.Container("c").State.Running != nil }).Container("c")
		if end := seen.LastTerminationState.Terminated; end == nil || end.ExitCode == 0 || !strings.Contains(end.Message, "host was started again") {
			t.Errorf("%s: it ended before with %+v", policy, end)
		}
		pods[policy].waitLog("c", "2\n") // its volume is the same
	}
	if done := pods[v1.RestartPolicyOnFailure].status().Container("done"); done.RestartCount != 0 || done.State.Terminated == nil || done.State.Terminated.Message != "" {
		t.Errorf("the container that had succeeded is %+v", done)
	}
	end := pods[v1.RestartPolicyNever].waitPhase(v1.PodFailed).Container("c").State.Terminated
	if end.ExitCode != 137 || !strings.Contains(end.Message, "host was started again") {
		t.Errorf("Never: end = %+v", end)
	}
	if got := pods[v1.RestartPolicyNever].logs("c", logOptions{}); got != "1\n" {
		t.Errorf("Never: log = %q", got)
	}
	lost.waitFor("the pod whose sandbox is gone runs again", func(s podStatus) bool { return s.Container("c").State.Running != nil })
	lost.waitLog("c", "wiped\n")
	for _, p := range pods {
		p.delete(0)
		p.waitGone()
	}
	lost.delete(0)
	lost.waitGone()
	d.waitWarm(t, pool)
}

// crashWithHost ends docker-sd and all containers, loses one of them, and starts
// docker-sd on a host that seems to have been started again.
func (d *daemon) crashWithHost(t *testing.T, lost string) {
	t.Helper()
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	containers, err := d.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range containers {
		if c.State == "running" {
			if err := d.engine.kill(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.engine.removeContainer(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	d.reboot(t)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
}

// reboot gives the records of a daemon that does not run another boot id.
func (d *daemon) reboot(t *testing.T) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(d.data(), "records", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("records %v, %v", paths, err)
	}
	for _, path := range paths {
		var file struct {
			Version  int             `json:"version"`
			Checksum string          `json:"checksum"`
			Record   json.RawMessage `json:"record"`
		}
		read(t, path, &file)
		record := map[string]any{}
		if err := json.Unmarshal(file.Record, &record); err != nil {
			t.Fatal(err)
		}
		began, kept := record["began"].(map[string]any)
		if boot, _ := began["boot"].(string); !kept || len(boot) != 36 {
			t.Fatalf("the record has no boot id: %v", began)
		}
		began["boot"] = "00000000-0000-4000-8000-000000000000"
		if file.Record, err = json.Marshal(record); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(file.Record)
		file.Checksum = hex.EncodeToString(sum[:])
		if err := os.WriteFile(path, encode(t, file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
