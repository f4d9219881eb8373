package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// measured is a pod with all that can be told of one, and one with the least.
func measured() usage.Report {
	cores, busy, bytes := 0.25, uint32(40), int64(7)
	figures := usage.Figures{Time: since, CPUNanoseconds: 5e9, Cores: &cores, MemoryBytes: 1000, WorkingSetBytes: 800, RSSBytes: 500}
	return usage.Report{Time: since, Node: &figures, Devices: []usage.Device{{UUID: "GPU-1", Utilization: &busy, MemoryUsedBytes: 3, MemoryTotalBytes: 10}},
		Pods: []usage.Pod{{UID: "u1", Namespace: "physics", Name: "fit", Started: since, Figures: figures, Storage: &usage.Storage{Time: since, Bytes: 11},
			Network:    &usage.Network{Interface: "eth0", Received: 1, Sent: 2, ErrorsIn: 3, ErrorsOut: 4},
			Containers: []usage.Container{{Name: "main", Started: since, Figures: figures, MemoryLimitBytes: 900, StorageBytes: &bytes, Devices: []string{"GPU-1", "GPU-2"}}}},
			{UID: "u2", Figures: usage.Figures{Time: since}}}}
}

func number(n uint64) *uint64 { return &n }

// TestSummary: kubelet's own types read it, with every figure in its place.
func TestSummary(t *testing.T) {
	server := admin.New(admin.Config{Source: fixed{}, Metrics: http.NotFoundHandler(), Usage: measured,
		Resources: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "resources") })})
	ask := func(path string) string {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest("GET", "http://127.0.0.1"+path, nil)
		server.Handler().ServeHTTP(answer, request)
		if answer.Code != http.StatusOK {
			t.Fatalf("%s is answered %d: %s", path, answer.Code, answer.Body)
		}
		return answer.Body.String()
	}
	var got stats.Summary
	if err := json.Unmarshal([]byte(ask("/stats/summary")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Node.NodeName != "docker-sd" || *got.Node.CPU.UsageNanoCores != 250_000_000 || *got.Node.Memory.WorkingSetBytes != 800 || !got.Node.StartTime.Equal(&got.Node.CPU.Time) {
		t.Errorf("node %+v", got.Node)
	}
	if len(got.Pods) != 2 {
		t.Fatalf("%d pods", len(got.Pods))
	}
	pod := got.Pods[0]
	if diff := cmp.Diff(stats.PodReference{Name: "fit", Namespace: "physics", UID: "u1"}, pod.PodRef); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(stats.InterfaceStats{Name: "eth0", RxBytes: number(1), RxErrors: number(3), TxBytes: number(2), TxErrors: number(4)}, pod.Network.InterfaceStats); diff != "" {
		t.Error(diff)
	}
	if *pod.EphemeralStorage.UsedBytes != 11 || *pod.CPU.UsageCoreNanoSeconds != 5e9 || *pod.Memory.UsageBytes != 1000 || pod.Memory.AvailableBytes != nil {
		t.Errorf("pod %+v", pod)
	}
	c := pod.Containers[0]
	if c.Name != "main" || *c.CPU.UsageNanoCores != 250_000_000 || *c.Memory.AvailableBytes != 100 || *c.Memory.RSSBytes != 500 || *c.Rootfs.UsedBytes != 7 {
		t.Errorf("container %+v", c)
	}
	if diff := cmp.Diff([]stats.AcceleratorStats{{Model: "H100", ID: "GPU-1", MemoryTotal: 10, MemoryUsed: 3, DutyCycle: 40}}, c.Accelerators); diff != "" {
		t.Error(diff)
	}
	if least := got.Pods[1]; least.Network != nil || least.EphemeralStorage != nil || least.CPU.UsageNanoCores != nil || len(least.Containers) != 0 {
		t.Errorf("a pod of which little is known: %+v", least)
	}
	if got := ask("/metrics/resource"); got != "resources\n" {
		t.Errorf("resources are %q", got)
	}
	var report usage.Report
	if err := json.Unmarshal([]byte(ask("/v1/usage")), &report); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(measured(), report); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
}

// TestUsageOfAClient: a docker-sd that has not looked yet has not measured nothing.
func TestUsageOfAClient(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	report := usage.Report{Starting: true}
	server := admin.New(admin.Config{Source: fixed{}, Metrics: http.NotFoundHandler(), Usage: func() usage.Report { return report }})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	client := admin.NewClient(dir)
	if _, err := client.Usage(t.Context()); !errdefs.IsUnavailable(err) {
		t.Errorf("while it starts: %v", err)
	}
	report = measured()
	if got, err := client.Usage(t.Context()); err != nil || len(got.Pods) != 2 || !got.Time.Equal(since) {
		t.Errorf("%+v, %v", got, err)
	}
	client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(server.Shutdown(ctx), <-served); err != nil {
		t.Error(err)
	}
}
