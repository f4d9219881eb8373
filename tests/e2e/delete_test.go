//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestDeleteGrace: the answer comes at once, the container gets its SIGTERM and
// its grace period, then it is killed and everything goes (protocol 4).
func TestDeleteGrace(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	dir := filepath.Join(d.hostPath(), "grace")
	pod := withVolume(newPod(shell("c", "trap 'echo TERM >>/vol/seen' TERM; touch /vol/up; while :; do usleep 50000; done")), hostDir(dir), "/vol")
	hour := int64(3600)
	pod.Spec.TerminationGracePeriodSeconds = &hour
	p := d.run(t, pod)
	eventually(t, runLimit, "the container has set its trap", func() bool {
		_, err := os.Stat(filepath.Join(dir, "up"))
		return err == nil
	}, nil)
	p.waitPhase(v1.PodRunning)
	began := time.Now()
	if took := p.delete(3); took > 3*time.Second {
		t.Errorf("delete was answered after %s", took)
	}
	if left := d.poll(t, p.pod); len(left) != 0 {
		t.Errorf("a deleted pod is still in the status: %+v", left)
	}
	p.waitGone()
	if took := time.Since(began); took < 2500*time.Millisecond {
		t.Errorf("the pod was gone after %s, its grace period is 3 s", took)
	}
	if seen, err := os.ReadFile(filepath.Join(dir, "seen")); string(seen) != "TERM\n" {
		t.Errorf("the container saw %q, %v", seen, err)
	}
}

// TestDeleteHasAGraceOfItsOwn: it wins over the pod's, whether it is longer or shorter, as
// with kubelet (protocol 4).
func TestDeleteHasAGraceOfItsOwn(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	dir := filepath.Join(d.hostPath(), "long-grace")
	pod := withVolume(newPod(shell("c", "trap 'sleep 3; touch /vol/done; exit 0' TERM; touch /vol/up; while :; do usleep 50000; done")), hostDir(dir), "/vol")
	second := int64(1)
	pod.Spec.TerminationGracePeriodSeconds = &second
	p := d.run(t, pod)
	eventually(t, runLimit, "the container has set its trap", func() bool {
		_, err := os.Stat(filepath.Join(dir, "up"))
		return err == nil
	}, nil)
	p.delete(int64(runLimit.Seconds()))
	p.waitGone()
	if _, err := os.Stat(filepath.Join(dir, "done")); err != nil {
		t.Errorf("the container was not left to end in its own time: %v", err)
	}
}

func TestDeleteIsIdempotent(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitPhase(v1.PodRunning)
	for range 3 {
		p.delete(5)
	}
	p.waitGone()
	p.delete(5)
	if code, text := d.must(t, http.MethodPost, "/delete", encode(t, newPod(shell("c", "true")))); code != http.StatusOK {
		t.Errorf("delete of an unknown pod was answered with %d: %s", code, text)
	}
	// The guide's form (protocol 9.4).
	body := encode(t, map[string]string{"UID": string(p.pod.UID), "name": p.pod.Name, "namespace": p.pod.Namespace})
	if code, text := d.must(t, http.MethodPost, "/delete", body); code != http.StatusOK {
		t.Errorf("delete in the guide's form was answered with %d: %s", code, text)
	}
}

// TestCreateAfterDelete: a create may arrive after the pod's delete, and must
// not bring it back (protocol 1.4).
func TestCreateAfterDelete(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	known := d.run(t, newPod(shell("c", "true")))
	known.delete(0)
	unknown := newPod(shell("c", "true"))
	if code, text := d.must(t, http.MethodPost, "/delete", encode(t, unknown)); code != http.StatusOK {
		t.Fatalf("delete was answered with %d: %s", code, text)
	}
	for _, pod := range []*v1.Pod{known.pod, unknown} {
		if code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod))); code != http.StatusConflict || text == "" {
			t.Errorf("create after delete was answered with %d %q", code, text)
		}
	}
}

// TestDeleteAtAnyMoment of a pod's start leaves nothing behind; the clean-up of
// each pod checks that.
func TestDeleteAtAnyMoment(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	for _, wait := range []time.Duration{0, 30 * time.Millisecond, 80 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(wait.String(), func(t *testing.T) {
			p := d.run(t, newPod(shell("c", untilStopped)))
			<-time.After(wait)
			p.delete(0)
			p.waitGone()
		})
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	pod := newPod(shell("c", "echo once >>/vol/runs; "+untilStopped))
	dir := filepath.Join(d.hostPath(), "idempotent")
	body := encode(t, newCreate(withVolume(pod, hostDir(dir), "/vol")))
	type answer struct {
		code int
		text string
		err  error
	}
	answers := make([]answer, 20)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() {
			answers[i].code, answers[i].text, answers[i].err = d.call(t.Context(), http.MethodPost, "/create", body)
		})
	}
	group.Wait()
	p := d.created(t, pod, answers[0].code, answers[0].text)
	for _, a := range answers {
		if a.err != nil {
			t.Fatal(a.err)
		}
		if got := decodeCreate(t, pod, a.code, a.text).PodJID; got != p.jid {
			t.Errorf("JID %s and %s for one pod", p.jid, got)
		}
	}
	p.waitPhase(v1.PodRunning)
	code, text := d.must(t, http.MethodPost, "/create", body)
	if got := decodeCreate(t, pod, code, text).PodJID; got != p.jid {
		t.Errorf("a later create was answered with JID %s, want %s", got, p.jid)
	}
	runs, err := "", error(nil)
	eventually(t, runLimit, "the container has written that it ran", func() bool {
		var text []byte
		text, err = os.ReadFile(filepath.Join(dir, "runs"))
		runs = string(text)
		return runs != ""
	}, func() string { return fmt.Sprint(err) })
	if runs != "once\n" {
		t.Errorf("runs = %q, %v", runs, err)
	}
	// A sandbox too many would be claimed by nobody, and is found when the shared
	// daemon is idle: its pool would be too large.
	p.sandbox()
}

func TestCreateAnswer(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	pod := newPod(shell("c", "true"))
	code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod)))
	d.created(t, pod, code, text)
	var raw map[string]string
	if err := json.Unmarshal([]byte(text), &raw); err != nil || len(raw) != 2 || raw["PodUID"] == "" || raw["PodJID"] == "" {
		t.Errorf("answer = %s, %v: want an object with PodUID and PodJID", text, err)
	}
}
