package interlink_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
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
	uid := regexp.MustCompile(`"uid": *"[^"]*"`)
	list := make([][]byte, pods)
	for i := range list {
		list[i] = uid.ReplaceAll(one[0], fmt.Appendf(nil, `"uid":"pod-%d"`, i))
	}
	return append(append([]byte("["), bytes.Join(list, []byte(","))...), ']')
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

// BenchmarkDecodeStatusSingly is the polls of interLink from 0.5 on: one pod each, in turn.
func BenchmarkDecodeStatusSingly(b *testing.B) {
	texts := make([][]byte, 100)
	for i := range texts {
		texts[i] = bytes.ReplaceAll(polled(b, 1), []byte("pod-0"), fmt.Appendf(nil, "pod-%d", i))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if pods, err := interlink.DecodeStatus(texts[i%len(texts)]); err != nil || len(pods) != 1 {
			b.Fatal(len(pods), err)
		}
		i++
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
