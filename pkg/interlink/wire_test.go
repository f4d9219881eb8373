package interlink_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// body returns the body of a recorded request.
func body(tb testing.TB, name string) []byte {
	tb.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "wire", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	var recorded struct{ Body json.RawMessage }
	if err := json.Unmarshal(file, &recorded); err != nil {
		tb.Fatal(err)
	}
	return recorded.Body
}

func TestDecodeCreate(t *testing.T) {
	for _, name := range []string{"create-hello-world", "create-hello-world-2024-list"} {
		t.Run(name, func(t *testing.T) {
			request, err := interlink.DecodeCreate(body(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(request.Pod.UID), "88f48982-8c6d-4c93-b03a-8bdef166aedc"; got != want {
				t.Errorf("UID %q, want %q", got, want)
			}
			if len(request.Containers) != 1 || len(request.Containers[0].Projected) != 1 {
				t.Fatalf("containers %+v, want one with one projected volume", request.Containers)
			}
			if got := request.Containers[0].Projected[0].Data["namespace"]; got != "default" {
				t.Errorf("projected namespace %q, want default", got)
			}
		})
	}
	for name, text := range map[string]string{
		"empty": "", "null list": "[]", "two pods": "[{},{}]", "text": "hello", "cut": `{"pod":{"metadata":`, "wrong type": `{"pod":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := interlink.DecodeCreate([]byte(text)); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestDecodeStatus(t *testing.T) {
	for _, ping := range []string{"[]", "null", "", " \n"} {
		if pods, err := interlink.DecodeStatus([]byte(ping)); err != nil || len(pods) != 0 {
			t.Errorf("ping %q gave %d pods, error %v", ping, len(pods), err)
		}
	}
	pods, err := interlink.DecodeStatus(body(t, "status-running-pod"))
	if err != nil {
		t.Fatal(err)
	}
	if len(pods) != 1 || len(pods[0].Spec.Containers) != 1 {
		t.Fatalf("got %d pods, want one with one container", len(pods))
	}
	got := []string{string(pods[0].UID), pods[0].Namespace, pods[0].Name, pods[0].Annotations["JobID"],
		string(pods[0].Status.Phase), pods[0].Spec.Containers[0].Name, pods[0].Spec.Containers[0].Image}
	want := []string{"04619053-392b-49dd-af20-a0c38d20b9a8", "default", "restart-always",
		"jid-04619053-392b-49dd-af20-a0c38d20b9a8", "Running", "c", "busybox:1.36"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeStatus_ReadsWhatReportsNeed(t *testing.T) {
	pods, err := interlink.DecodeStatus([]byte(`[{"spec":{"initContainers":[{"name":"side","restartPolicy":"Always"}],
		"containers":[{"name":"a","readinessProbe":{"exec":{"command":["true"]}}},{"name":"b"}]}}]`))
	if err != nil {
		t.Fatal(err)
	}
	spec := pods[0].Spec
	if policy := spec.InitContainers[0].RestartPolicy; policy == nil || *policy != "Always" {
		t.Errorf("restart policy %v, want Always", policy)
	}
	if spec.Containers[0].ReadinessProbe == nil || spec.Containers[1].ReadinessProbe != nil {
		t.Error("readiness probes were not told apart")
	}
}

func TestDecodeDelete(t *testing.T) {
	pod, err := interlink.DecodeDelete(body(t, "delete-hello-world"))
	if err != nil || pod.UID != "88f48982-8c6d-4c93-b03a-8bdef166aedc" || pod.Namespace != "default" {
		t.Errorf("got %+v, error %v", pod, err)
	}
	pod, err = interlink.DecodeDelete([]byte(`{"UID":"u","name":"n","namespace":"s"}`))
	if err != nil || pod.UID != "u" || pod.Name != "n" || pod.Namespace != "s" {
		t.Errorf("the guide's form gave %+v, error %v", pod, err)
	}
	pod, err = interlink.DecodeDelete([]byte(`{"metadata":{"uid":"u","deletionGracePeriodSeconds":3}}`))
	if err != nil || pod.DeletionGracePeriodSeconds == nil || *pod.DeletionGracePeriodSeconds != 3 {
		t.Errorf("grace period: got %+v, error %v", pod, err)
	}
}

func TestDecodeLogs(t *testing.T) {
	request, err := interlink.DecodeLogs(body(t, "getlogs-tail-timestamps"))
	if err != nil || request.Opts.Tail != 5 || !request.Opts.Timestamps || !request.Opts.SinceTime.IsZero() {
		t.Errorf("got %+v, error %v", request, err)
	}
	request, err = interlink.DecodeLogs(body(t, "getlogs-since-time"))
	if err != nil || request.Opts.SinceTime.IsZero() {
		t.Errorf("got %+v, error %v", request, err)
	}
}

// TestPing_OnlyStrings guards against the one mistake that makes the caller drop
// the whole body in silence: a number (protocol 2.4).
func TestPing_OnlyStrings(t *testing.T) {
	taints := []interlink.Taint{}
	encoded, err := json.Marshal(interlink.Ping{Status: "ok", Taints: &taints, Resources: &interlink.Resources{CPU: "2", Memory: "1Gi",
		Pods: "110", Accelerators: []interlink.Accelerator{{ResourceType: "nvidia.com/gpu", Available: "8"}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"status":"ok","resources":{"cpu":"2","memory":"1Gi","pods":"110","accelerators":[{"resourceType":"nvidia.com/gpu","available":"8"}]},"taints":[]}`
	if got := string(encoded); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	encoded, err = json.Marshal(interlink.Ping{Status: "ok"})
	if want := `{"status":"ok"}`; err != nil || string(encoded) != want {
		t.Errorf("got %s, want %s (nothing known is nothing said)", encoded, want)
	}
}
