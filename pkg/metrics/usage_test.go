package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/metrics"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// at is when the figures were read.
var at = time.UnixMilli(1700000000123)

// measured is a node with a pod of two containers, one of them with GPUs, and an idle GPU.
func measured() usage.Report {
	busy, bytes := uint32(40), int64(7)
	figures := func(cpu uint64) usage.Figures {
		return usage.Figures{Time: at, CPUNanoseconds: cpu, MemoryBytes: 1000, WorkingSetBytes: 800, RSSBytes: 500, CacheBytes: 250}
	}
	node := figures(9e9)
	return usage.Report{Time: at, Node: &node, Pods: []usage.Pod{{UID: "u1", Namespace: "team", Name: "web", Figures: figures(5e9),
		Network: &usage.Network{Interface: "eth0", Received: 1, Sent: 2, PacketsIn: 3, PacketsOut: 4, ErrorsIn: 5, ErrorsOut: 6, DroppedIn: 7, DroppedOut: 8},
		Storage: &usage.Storage{Bytes: 11}, Containers: []usage.Container{
			{Name: "main", Image: "busybox", Started: time.Unix(1600000000, 0), Figures: figures(3e9), MemoryLimitBytes: 4096, StorageBytes: &bytes, Devices: []string{"GPU-0", "MIG-1"}},
			{Name: "side", Image: "busybox", Figures: figures(1e9)},
			{Name: "\xff", Image: "no text", Figures: figures(1e9)},
		}}}, Devices: []usage.Device{{UUID: "GPU-0", Utilization: &busy, MemoryUsedBytes: 3 << 20, MemoryTotalBytes: 10 << 20},
		{UUID: "MIG-1", MemoryUsedBytes: 1 << 20, MemoryTotalBytes: 5 << 20}, {UUID: "GPU-2", Utilization: &busy, MemoryTotalBytes: 10 << 20}}}
}

func measuredDevices() gpu.Snapshot {
	return gpu.Snapshot{Devices: []gpu.DeviceState{{Device: gpu.Device{UUID: "GPU-0", Name: "H100"}}, {Device: gpu.Device{UUID: "GPU-2", Minor: 2, Name: "H100"}},
		{Device: gpu.Device{UUID: "MIG-1", Minor: 1, Name: "H100 MIG 1g.5gb", Profile: "1g.5gb", GPUInstanceID: 9}}}}
}

// TestUsage: names, labels and times are those that others have given these metrics.
func TestUsage(t *testing.T) {
	m := metrics.New("v1", "node", busy{})
	m.ShowUsage("node", measured, measuredDevices)
	text := scrape(t, m)
	const main, pod, when = `container="main",`, `container="",`, " 1700000000123"
	image, none := `image="busybox",namespace="team",pod="web"} `, `image="",namespace="team",pod="web"} `
	of := `,namespace="team",pod="web"} `
	for _, line := range []string{
		`container_cpu_usage_seconds_total{container="main",cpu="total",` + image + "3" + when,
		`container_cpu_usage_seconds_total{container="",cpu="total",` + none + "5" + when,
		`container_memory_working_set_bytes{` + main + image + "800" + when,
		`container_memory_working_set_bytes{` + pod + none + "800" + when,
		`container_memory_usage_bytes{` + main + image + "1000" + when,
		`container_memory_rss{` + main + image + "500" + when,
		`container_memory_cache{` + main + image + "250" + when,
		`container_spec_memory_limit_bytes{` + main + image + "4096",
		`container_start_time_seconds{` + main + image + "1.6e+09",
		`container_last_seen{` + main + image + "1.7e+09",
		`container_fs_usage_bytes{container="main",device="",` + image + "7",
		`container_fs_usage_bytes{container="",device="",` + none + "11",
		`container_network_receive_bytes_total{interface="eth0"` + of + "1" + when,
		`container_network_transmit_bytes_total{interface="eth0"` + of + "2" + when,
		`container_network_receive_packets_total{interface="eth0"` + of + "3" + when,
		`container_network_transmit_packets_total{interface="eth0"` + of + "4" + when,
		`container_network_receive_errors_total{interface="eth0"` + of + "5" + when,
		`container_network_transmit_errors_total{interface="eth0"` + of + "6" + when,
		`container_network_receive_packets_dropped_total{interface="eth0"` + of + "7" + when,
		`container_network_transmit_packets_dropped_total{interface="eth0"` + of + "8" + when,
		`DCGM_FI_DEV_GPU_UTIL{GPU_I_ID="",GPU_I_PROFILE="",Hostname="node",UUID="GPU-0",container="main",device="nvidia0",gpu="0",modelName="H100"` + of + "40",
		`DCGM_FI_DEV_FB_USED{GPU_I_ID="",GPU_I_PROFILE="",Hostname="node",UUID="GPU-0",container="main",device="nvidia0",gpu="0",modelName="H100"` + of + "3",
		`DCGM_FI_DEV_FB_FREE{GPU_I_ID="",GPU_I_PROFILE="",Hostname="node",UUID="GPU-0",container="main",device="nvidia0",gpu="0",modelName="H100"` + of + "7",
		`DCGM_FI_DEV_FB_USED{GPU_I_ID="9",GPU_I_PROFILE="1g.5gb",Hostname="node",UUID="MIG-1",container="main",device="nvidia1",gpu="1",modelName="H100 MIG 1g.5gb"` + of + "1",
		`DCGM_FI_DEV_GPU_UTIL{GPU_I_ID="",GPU_I_PROFILE="",Hostname="node",UUID="GPU-2",container="",device="nvidia2",gpu="2",modelName="H100",namespace="",pod=""} 40`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("a scrape lacks %s", line)
		}
	}
	if strings.Contains(text, "no text") || strings.Contains(text, `DCGM_FI_DEV_GPU_UTIL{GPU_I_ID="9"`) || strings.Contains(text, `fs_usage_bytes{container="side"`) ||
		strings.Contains(text, `start_time_seconds{container="side"`) {
		t.Errorf("a scrape has what is not known:\n%s", text)
	}
}

// TestSuccessor: a pod whose successor of the same name runs already spoils no scrape.
func TestSuccessor(t *testing.T) {
	report := func() usage.Report {
		r := measured()
		old, other := r.Pods[0], r.Pods[0]
		r.Pods[0].Started, r.Pods[0].CPUNanoseconds = at, 42e9
		old.Started, other.Name = at.Add(-time.Hour), "other"
		r.Pods = append([]usage.Pod{old}, append(r.Pods, old, other)...)
		return r
	}
	m := metrics.New("v1", "node", busy{})
	m.ShowUsage("node", report, measuredDevices)
	text := scrape(t, m)
	if !strings.Contains(text, `image="",namespace="team",pod="web"} 42 `) || !strings.Contains(text, `pod="other"`) {
		t.Errorf("the younger pod is not there:\n%s", text)
	}
	answer := httptest.NewRecorder()
	metrics.Resources(report).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics/resource", nil))
	if answer.Code != 200 || !strings.Contains(answer.Body.String(), `pod_cpu_usage_seconds_total{namespace="team",pod="web"} 42 `) {
		t.Errorf("resources: %d %s", answer.Code, answer.Body)
	}
}

// TestResources has what kubelet tells of a node's resources, and nothing else.
func TestResources(t *testing.T) {
	for name, c := range map[string]struct {
		report usage.Report
		want   []string
	}{
		"a pod": {measured(), []string{
			"node_cpu_usage_seconds_total 9 1700000000123", "node_memory_working_set_bytes 800 1700000000123",
			`container_cpu_usage_seconds_total{container="main",namespace="team",pod="web"} 3 1700000000123`,
			`container_cpu_usage_seconds_total{container="side",namespace="team",pod="web"} 1 1700000000123`,
			`container_memory_working_set_bytes{container="main",namespace="team",pod="web"} 800 1700000000123`,
			`container_memory_working_set_bytes{container="side",namespace="team",pod="web"} 800 1700000000123`,
			`container_start_time_seconds{container="main",namespace="team",pod="web"} 1.6e+09 1600000000000`,
			`pod_cpu_usage_seconds_total{namespace="team",pod="web"} 5 1700000000123`, `pod_memory_working_set_bytes{namespace="team",pod="web"} 800 1700000000123`,
			"resource_scrape_error 0"}},
		"nothing is measured": {usage.Report{Trouble: "no groups"}, []string{"resource_scrape_error 1"}},
	} {
		answer := httptest.NewRecorder()
		metrics.Resources(func() usage.Report { return c.report }).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics/resource", nil))
		got := 0
		for line := range strings.Lines(answer.Body.String()) {
			if !strings.HasPrefix(line, "#") {
				got++
			}
		}
		for _, line := range c.want {
			if !strings.Contains("\n"+answer.Body.String(), "\n"+line+"\n") {
				t.Errorf("%s: lacks %s", name, line)
			}
		}
		if got != len(c.want) {
			t.Errorf("%s: %d lines, want %d:\n%s", name, got, len(c.want), answer.Body)
		}
	}
}
