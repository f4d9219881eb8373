//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestRefusedRecordOfALivePod: a pod whose record cannot be read is neither lost nor
// started a second time, keeps its sandbox, and can be deleted.
func TestRefusedRecordOfALivePod(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, file []byte) []byte{
		"of a newer version": newerVersion,
		"cut":                func(_ *testing.T, file []byte) []byte { return file[:len(file)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := ownDaemon(t, 1, nil)
			dir := filepath.Join(d.hostPath(), "refused")
			p := d.run(t, withVolume(newPod(shell("c", "echo run >>/vol/runs; "+untilStopped)), hostDir(dir), "/vol"))
			p.waitRunning()
			before := p.sandbox()
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(d.data(), "records", string(p.pod.UID)+".json")
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, spoil(t, file), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := d.start(); err != nil {
				t.Fatal(err)
			}
			d.waitReady(t)
			d.waitWarmBeside(t, 1)
			if answer := d.poll(t, p.pod); len(answer) != 0 {
				t.Errorf("status of a pod that nobody looks after: %+v", answer)
			}
			if code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(p.pod))); code != http.StatusConflict || !strings.Contains(text, "record") {
				t.Errorf("create was answered with %d: %s", code, text)
			}
			if now := p.sandbox(); now.ID != before.ID {
				t.Errorf("another sandbox: %s, before it was %s", now.ID, before.ID)
			}
			runs, err := os.ReadFile(filepath.Join(dir, "runs"))
			if err != nil || string(runs) != "run\n" {
				t.Errorf("it ran %q, %v", runs, err)
			}
			p.delete(1)
			p.waitGone()
		})
	}
}

// TestGPU_RefusedRecordKeepsItsGPU: while the record of a pod cannot be read at all, its
// GPU is given to nobody else; a delete of the pod frees it.
func TestGPU_RefusedRecordKeepsItsGPU(t *testing.T) {
	g := newFakeGPUs(t, 1)
	d := ownDaemon(t, 0, g.settings(nil))
	d.waitTotal(t, 1)
	p := d.run(t, newPod(withGPUs(shell("c", untilStopped), 1)))
	p.waitRunning()
	p.sandbox()
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.data(), "records", string(p.pod.UID)+".json")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file[:len(file)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitTotal(t, 1)
	if got := d.refusedCreate(t, newPod(withGPUs(shell("c", "true"), 1))); !strings.Contains(got, "0 of 1 free") {
		t.Errorf("refused with %q", got)
	}
	p.delete(0)
	p.waitGone()
	next := d.run(t, newPod(withGPUs(shell("c", "echo ran"), 1)))
	if got := next.output(); got != "ran\n" {
		t.Errorf("log = %q", got)
	}
}

func newerVersion(t *testing.T, file []byte) []byte {
	t.Helper()
	record := map[string]json.RawMessage{}
	if err := json.Unmarshal(file, &record); err != nil {
		t.Fatal(err)
	}
	record["version"] = json.RawMessage("99")
	return encode(t, record)
}

// TestSameInstanceIsRefused: two docker-sd of one name would each take the other's
// sandboxes for strays.
func TestSameInstanceIsRefused(t *testing.T) {
	t.Parallel()
	first := ownDaemon(t, 1, nil)
	first.waitWarm(t, 1)
	second := prepareDaemon(t, map[string]any{"Instance": first.instance, "AVAILABLEDINDS": 0})
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the second one ends", func() bool { return !second.Running() }, second.log.String)
	if said := second.log.String(); !strings.Contains(said, first.instance) || !strings.Contains(said, "choose another Instance") {
		t.Errorf("it said %q", said)
	}
	if got := first.run(t, newPod(shell("c", "echo first"))).output(); got != "first\n" {
		t.Errorf("log = %q", got)
	}
}

// TestDoneStaysDone: a container that has succeeded does not run again because its
// pod has to start over for the other one, whoever is restarted after that.
func TestDoneStaysDone(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	dir := filepath.Join(d.hostPath(), "done")
	pod := newPod(shell("done", "echo done >>/vol/done"), shell("goes-on", "echo on >>/vol/on; "+untilStopped))
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	p := d.run(t, withVolume(pod, hostDir(dir), "/vol"))
	halfDone := func(s podStatus) bool {
		end := s.Container("done").State.Terminated
		return end != nil && end.ExitCode == 0 && s.Container("goes-on").State.Running != nil
	}
	p.waitFor("one ended, one runs", halfDone)
	if err := suite.engine.removeContainer(t.Context(), p.sandbox().ID); err != nil {
		t.Fatal(err)
	}
	runs := func(name string) int {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
	eventually(t, runLimit, "the other one runs again", func() bool { return runs("on") == 2 }, nil)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	p.waitFor("it is as it was", halfDone)
	p.delete(0)
	p.waitGone()
	if n := runs("done"); n != 1 {
		t.Errorf("the container that had succeeded ran %d times", n)
	}
	if n := runs("on"); n != 2 {
		t.Errorf("the other one ran %d times", n)
	}
}
