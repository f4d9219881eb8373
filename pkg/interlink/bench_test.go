package interlink_test

import (
	"bytes"
	"encoding/json"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// polled is what an old interLink asks about a hundred pods at once.
func polled(b *testing.B, pods int) []byte {
	b.Helper()
	var one []json.RawMessage
	if err := json.Unmarshal(body(b, "status-running-pod"), &one); err != nil {
		b.Fatal(err)
	}
	return append(append([]byte("["), bytes.Join(bytes.Split(bytes.Repeat(append(one[0], 0), pods), []byte{0})[:pods], []byte(","))...), ']')
}

func BenchmarkDecodeStatus(b *testing.B) {
	text := polled(b, 100)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		pods, err := interlink.DecodeStatus(text)
		if err != nil || len(pods) != 100 {
			b.Fatal(len(pods), err)
		}
	}
}

func BenchmarkEncodeStatus(b *testing.B) {
	out := make([]interlink.PodStatus, 100)
	for i := range out {
		out[i] = interlink.PodStatus{Name: "hello", Namespace: "default", UID: "11111111-2222-4333-8444-555555555555", JID: "x_dind",
			Containers: []v1.ContainerStatus{{Name: "c", Image: "busybox:1.36", ImageID: "sha256:00000000000000000000000000000000", ContainerID: "docker://0000000000000000000000",
				State: v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.Now()}}, Ready: true}}}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(out); err != nil {
			b.Fatal(err)
		}
	}
}
