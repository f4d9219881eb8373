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

// BenchmarkPolls is polls in which no, one, every second or every pod has changed.
func BenchmarkPolls(b *testing.B) {
	for _, c := range []struct {
		name  string
		every int
	}{{"none", 0}, {"one", 100}, {"half", 2}, {"all", 1}} {
		b.Run(c.name, func(b *testing.B) {
			texts := [2][]byte{polled(b, 100), changed(polled(b, 100), c.every)}
			var polls interlink.Polls
			b.SetBytes(int64(len(texts[0])))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if pods, err := polls.Decode(texts[i%2]); err != nil || len(pods) != 100 {
					b.Fatal(len(pods), err)
				}
				i++
			}
		})
	}
}

// changed gives every so-and-so-many-th pod another resource version.
func changed(text []byte, every int) []byte {
	const field = `"resourceVersion"`
	parts := bytes.SplitAfter(text, []byte(field+`: "`))
	for i := range parts {
		if i > 0 && every > 0 && i%every == 0 {
			parts[i][0] = '9' - (parts[i][0]-'0')%2
		}
	}
	return bytes.Join(parts, nil)
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
