package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// BenchmarkStatus is a poll of a hundred pods as its caller sees it.
func BenchmarkStatus(b *testing.B) {
	recorded, err := os.ReadFile("../interlink/testdata/wire/status-running-pod.json")
	if err != nil {
		b.Fatal(err)
	}
	var request struct{ Body []json.RawMessage }
	if err := json.Unmarshal(recorded, &request); err != nil {
		b.Fatal(err)
	}
	body, err := json.Marshal(slices.Repeat(request.Body, 100))
	if err != nil {
		b.Fatal(err)
	}
	running := v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.Now()}}
	s := limited(fakePods{status: func(pod *v1.Pod) (podstatus.Report, bool) {
		return podstatus.Report{JID: "sandbox", Containers: []v1.ContainerStatus{{Name: "main", Image: "busybox", State: running, Ready: true}}}, true
	}}, func(c *api.Config) { c.MaxBody = 16 << 20 })
	url := serve(b, s)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		answer, err := http.Post(url+"/status", "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK || n < 100 {
			b.Fatal(fmt.Errorf("answer %d of %d bytes: %w", answer.StatusCode, n, err))
		}
	}
}
