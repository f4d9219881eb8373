//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	v1 "k8s.io/api/core/v1"
)

// TestStatusOfManyPods asks for pods of every kind in one call: what is not
// known must not hide what is (protocol 2.3).
func TestStatusOfManyPods(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	running := d.run(t, newPod(shell("a", untilStopped), shell("b", untilStopped)))
	deleted := d.run(t, newPod(shell("a", untilStopped)))
	deleted.delete(0)
	two := func() *v1.Pod { return newPod(shell("a", "true"), shell("b", "true")) }
	pending, annotated, phased := two(), two(), two()
	annotated.Annotations = map[string]string{"JobID": "some-job"}
	phased.Status.Phase = v1.PodRunning
	running.waitRunning()

	answer := map[string]podStatus{}
	for _, s := range d.poll(t, pending, deleted.pod, annotated, running.pod, phased) {
		answer[s.UID] = s
	}
	if _, there := answer[string(deleted.pod.UID)]; there || len(answer) != 4 {
		t.Errorf("%d entries, a deleted pod among them: %t", len(answer), there)
	}
	for _, pod := range []*v1.Pod{pending, annotated, phased, running.pod} {
		if err := kit.CheckStatus(pod, answer[string(pod.UID)]); err != nil {
			t.Error(err)
		}
	}
	for _, c := range answer[string(pending.UID)].Containers {
		if c.State.Waiting == nil || c.State.Waiting.Reason != "ContainerCreating" {
			t.Errorf("a pod whose create has not come: %+v", c.State)
		}
	}
	for _, lost := range []*v1.Pod{annotated, phased} {
		for _, c := range answer[string(lost.UID)].Containers {
			end := c.State.Terminated
			if end == nil || end.ExitCode != 137 || end.Reason != "ContainerStatusUnknown" || end.Message == "" {
				t.Errorf("a lost pod: %+v", c.State)
			}
		}
	}
	for _, c := range answer[string(running.pod.UID)].Containers {
		if c.State.Running == nil {
			t.Errorf("a running pod: %+v", c.State)
		}
	}
}

// TestStatusBeforeCreate: polls start before the create arrives (protocol 1.4),
// and must not make the pod lost.
func TestStatusBeforeCreate(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	pod := newPod(shell("c", "echo ran"))
	if err := kit.CheckStatus(pod, d.poll(t, pod)[0]); err != nil {
		t.Fatal(err)
	}
	if got := d.run(t, pod).output(); got != "ran\n" {
		t.Errorf("log = %q", got)
	}
}

// TestStatusOfLocalContainers: a container that the annotation keeps in the
// cluster is polled although it never came with the create (protocol 2.2.9).
func TestStatusOfLocalContainers(t *testing.T) {
	t.Parallel()
	pod := newPod(shell("ours", "usleep 300000"))
	pod.Annotations = map[string]string{"interlink.eu/disable-offload-containers": "theirs"}
	p := sharedDaemon(t).run(t, pod)
	p.pod.Spec.Containers = append(p.pod.Spec.Containers, shell("theirs", "true"))
	p.waitFor("the local container is shown as ended", func(s podStatus) bool {
		ours, theirs := s.Container("ours").State, s.Container("theirs").State
		if ours.Terminated == nil && theirs.Running == nil || ours.Running != nil && theirs.Terminated != nil {
			t.Fatalf("ours is %+v, theirs %+v", ours, theirs)
		}
		return theirs.Terminated != nil && theirs.Terminated.ExitCode == 0
	})
}

// TestStatusKeys: the caller's field names, in its own case (protocol 2.1).
func TestStatusKeys(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.run(t, newPod(shell("c", "true")))
	p.waitPhase(v1.PodSucceeded)
	_, text := d.must(t, http.MethodGet, "/status", encode(t, []*v1.Pod{p.pod}))
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil || len(raw) != 1 {
		t.Fatalf("status was answered with %s: %v", text, err)
	}
	var keys []string
	for key := range raw[0] {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if diff := cmp.Diff([]string{"JID", "UID", "containers", "initContainers", "name", "namespace"}, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	// Before the engine has answered, its size is not known.
	eventually(t, runLimit, "the daemon is ready", func() bool {
		code, _ := d.must(t, http.MethodGet, "/readyz", nil)
		return code == http.StatusOK
	}, nil)
	answers := map[string]bool{}
	for _, c := range []struct{ method, body string }{
		{"GET", "[]"}, {"GET", "null"}, {"GET", ""}, {"POST", "[]"}, {"GET", " [ ] \n"},
	} {
		code, text := d.must(t, c.method, "/status", []byte(c.body))
		if code != http.StatusOK {
			t.Fatalf("%s %q was answered with %d: %s", c.method, c.body, code, text)
		}
		answers[text] = true
	}
	if len(answers) != 1 {
		t.Errorf("the answer is not stable, it becomes an annotation every 30 s: %v", answers)
	}
	for text := range answers {
		if len(text) >= 1024 {
			t.Errorf("the answer has %d bytes, want less than 1 KiB", len(text))
		}
		var answer map[string]any
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if answer["status"] != "ok" {
			t.Errorf("status = %v", answer["status"])
		}
		if _, there := answer["taints"]; there {
			t.Error("taints are there although none are configured: the node's own would go")
		}
		resources, _ := answer["resources"].(map[string]any)
		for _, name := range []string{"cpu", "memory", "pods"} {
			if _, there := resources[name]; !there {
				t.Errorf("resources have no %s: %s", name, text)
			}
		}
		onlyStrings(t, "answer", answer)
	}
}

// onlyStrings fails on a JSON number: one makes the caller drop the whole body.
func onlyStrings(t *testing.T, at string, value any) {
	t.Helper()
	switch v := value.(type) {
	case string:
	case map[string]any:
		for key, inner := range v {
			onlyStrings(t, at+"."+key, inner)
		}
	case []any:
		for _, inner := range v {
			onlyStrings(t, at+"[]", inner)
		}
	default:
		t.Errorf("%s is %T, want a string", at, value)
	}
}

// TestStatusIsQuick: one slow answer delays every pod of the node (protocol 2.3).
func TestStatusIsQuick(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitPhase(v1.PodRunning)
	var took []time.Duration
	for range 51 {
		began := time.Now()
		p.status()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	// The race detector is on and other tests run beside: the bound is wide.
	if median := took[len(took)/2]; median > 100*time.Millisecond {
		t.Errorf("the median of %d polls is %s", len(took), median)
	}
}

func TestHealthRoutes(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.run(t, newPod(shell("c", "true")))
	p.waitPhase(v1.PodSucceeded)
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, text := d.must(t, http.MethodGet, path, nil); code != http.StatusOK || strings.TrimSpace(text) != "ok" {
			t.Errorf("%s was answered with %d: %s", path, code, text)
		}
	}
	if code, _ := d.must(t, http.MethodGet, "/no-such-route", nil); code != http.StatusNotFound {
		t.Errorf("an unknown route was answered with %d", code)
	}
}
