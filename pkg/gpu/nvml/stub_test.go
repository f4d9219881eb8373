//go:build cgo

package nvml_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/nvml"
)

// stubHost is a host as the stand-in for NVIDIA's library sees it.
type stubHost struct {
	t    *testing.T
	file string
}

const stubGPUs = `driver version=550.54.14 cuda=12040
gpu uuid=GPU-aaa minor=0 name=NVIDIA_A100 memory=42949672960 bus=00000000:07:00.0
gpu uuid=GPU-bbb minor=1 name=NVIDIA_A100 memory=42949672960 bus=00000000:0F:00.0
gpu uuid=GPU-ccc minor=3 name=NVIDIA_A100 memory=42949672960 bus=00000000:47:00.0 mig=1
mig gpu=2 slot=0 uuid=MIG-one name=NVIDIA_A100_MIG_3g.20gb gi=1 ci=0 slices=3 memory=19968
mig gpu=2 slot=2 uuid=MIG-two gi=5 ci=0 slices=1 memory=4864
topology a=0 b=1 level=10
topology a=0 b=2 level=50
topology a=1 b=2 level=40
nvlink a=0 b=1 links=4
nvlink a=0 b=switch links=2
nvlink a=2 b=switch links=6
`

// write replaces the file as a whole, so that the library never sees a part.
func (h stubHost) write(text string) {
	h.t.Helper()
	next := h.file + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(next, h.file); err != nil {
		h.t.Fatal(err)
	}
}

func buildStub(t *testing.T) string {
	t.Helper()
	library := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-O1", "-o", library, "testdata/nvmlstub/stub.c").CombinedOutput()
	if err != nil {
		t.Fatalf("compiling the stub: %v\n%s", err, out)
	}
	return library
}

func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

// The library is loaded once: the dynamic linker keeps what it has bound.
func TestNVMLLibrary(t *testing.T) {
	library := buildStub(t)
	h := stubHost{t: t, file: filepath.Join(t.TempDir(), "host")}
	t.Setenv("NVML_STUB_FILE", h.file)
	sysfs := t.TempDir()
	pci := filepath.Join(sysfs, "bus/pci/devices/0000:0f:00.0")
	if err := os.MkdirAll(pci, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pci, "numa_node"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	options := nvml.Options{LibraryPath: library, SysfsRoot: sysfs}
	if _, err := nvml.Open(options); !errors.Is(err, monitor.ErrNoDriver) {
		t.Fatalf("error without a kernel driver = %v, want ErrNoDriver", err)
	}
	h.write(stubGPUs)
	d, err := nvml.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	t.Run("inventory", func(t *testing.T) { testStubInventory(t, d) })
	t.Run("processes", func(t *testing.T) { testStubProcesses(t, h, d) })
	t.Run("loads", func(t *testing.T) { testStubLoads(t, h, d) })
	t.Run("health", func(t *testing.T) { testStubHealth(t, h, d) })
}

func testStubInventory(t *testing.T, d monitor.Discoverer) {
	inv, err := d.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nvidia := func(minor string) []string { return []string{"/dev/nvidia" + minor} }
	want := []gpu.Device{
		{UUID: "GPU-aaa", Resource: "nvidia.com/gpu", Name: "NVIDIA A100", MemoryBytes: 40 << 30, PCIBusID: "0000:07:00.0", NUMANode: -1, Nodes: nvidia("0")},
		{UUID: "GPU-bbb", Resource: "nvidia.com/gpu", Index: 1, Minor: 1, Name: "NVIDIA A100", MemoryBytes: 40 << 30, PCIBusID: "0000:0f:00.0", NUMANode: 1, Nodes: nvidia("1")},
		{UUID: "GPU-ccc", Index: 2, Minor: 3, Name: "NVIDIA A100", MemoryBytes: 40 << 30, PCIBusID: "0000:47:00.0", NUMANode: -1, Nodes: nvidia("3")},
		{UUID: "MIG-one", Resource: "nvidia.com/mig-3g.20gb", Minor: 3, Name: "NVIDIA A100 MIG 3g.20gb", MemoryBytes: 19968 << 20, PCIBusID: "0000:47:00.0", NUMANode: -1,
			Nodes: nvidia("3"), ParentUUID: "GPU-ccc", Profile: "3g.20gb", GPUInstanceID: 1},
		{UUID: "MIG-two", Resource: "nvidia.com/mig-1g.5gb", Index: 2, Minor: 3, Name: "NVIDIA A100 MIG 1g.5gb", MemoryBytes: 4864 << 20, PCIBusID: "0000:47:00.0", NUMANode: -1,
			Nodes: nvidia("3"), ParentUUID: "GPU-ccc", Profile: "1g.5gb", GPUInstanceID: 5},
	}
	devices := gpu.NewDevices(inv.Devices...)
	if diff := cmp.Diff(want, devices.List()); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]gpu.Driver{{Vendor: "nvidia.com", Version: "550.54.14", CUDA: "12.4"}}, inv.Drivers); diff != "" {
		t.Errorf("drivers (-want +got):\n%s", diff)
	}
	between := func(a, b string) gpu.Connection { return inv.Topology.Between(devices[a], devices[b]) }
	for _, tc := range []struct {
		a, b string
		want gpu.Connection
	}{
		{"GPU-aaa", "GPU-bbb", gpu.Connection{NVLinks: 4, Path: gpu.PathSwitch}},
		{"GPU-aaa", "GPU-ccc", gpu.Connection{NVLinks: 2, Path: gpu.PathSystem}},
		{"GPU-ccc", "GPU-bbb", gpu.Connection{Path: gpu.PathNode}},
		{"MIG-one", "MIG-two", gpu.Connection{Path: gpu.PathBoard}},
		{"MIG-one", "GPU-aaa", gpu.Connection{Path: gpu.PathSystem}},
	} {
		if got := between(tc.a, tc.b); got != tc.want {
			t.Errorf("between %s and %s: %+v, want %+v", tc.a, tc.b, got, tc.want)
		}
	}
}

func testStubProcesses(t *testing.T, h stubHost, d monitor.Discoverer) {
	h.write(stubGPUs + "process gpu=0 pid=11\nprocess gpu=0 pid=12\nprocess gpu=0 pid=13\nprocess gpu=2 pid=14 gi=5 ci=0\n")
	got, err := d.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []monitor.Process{{PID: 11, UUID: "GPU-aaa"}, {PID: 12, UUID: "GPU-aaa"}, {PID: 13, UUID: "GPU-aaa"}, {PID: 14, UUID: "MIG-two"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}

	l := gpu.NewLedger(gpu.Sharing{})
	if err := l.Claim("pod-a", gpu.Assignment{Containers: map[string][]string{"main": {"GPU-aaa"}}}); err != nil && !errdefs.IsNotFound(err) {
		t.Fatal(err)
	}
	pods := map[int]string{11: "pod-a", 12: "pod-a", 13: "pod-a"}
	m := monitor.New(monitor.Config{Discoverer: d, Ledger: l, Identify: func(_ context.Context, pid int) (string, bool) {
		owner, ours := pods[pid]
		return owner, ours
	}})
	if err := m.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	free := map[string]int64{"nvidia.com/gpu": 1, "nvidia.com/mig-1g.5gb": 0, "nvidia.com/mig-3g.20gb": 1}
	if diff := cmp.Diff(free, l.Snapshot().Free); diff != "" {
		t.Errorf("free with a stranger on MIG-two (-want +got):\n%s", diff)
	}
	h.write(stubGPUs)
	if err := m.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.Snapshot().Free["nvidia.com/mig-1g.5gb"]; got != 1 {
		t.Errorf("free instances after the stranger has gone = %d, want 1", got)
	}
}

// testStubLoads: a GPU that tells how busy it is, one that does not, and MIG instances,
// whose memory alone is told; one that is lost is left out.
func testStubLoads(t *testing.T, h stubHost, d monitor.Discoverer) {
	loads, ok := d.(interface {
		Loads(context.Context) ([]gpu.Load, error)
	})
	if !ok {
		t.Fatalf("%T does not tell loads", d)
	}
	text := strings.Replace(stubGPUs, "uuid=GPU-aaa", "busy=0 used=1048576 uuid=GPU-aaa", 1)
	text = strings.Replace(text, "uuid=MIG-one", "busy=9 used=5242880 uuid=MIG-one", 1)
	h.write(text)
	got, err := loads.Loads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	idle := uint32(0)
	want := []gpu.Load{
		{UUID: "GPU-aaa", Utilization: &idle, MemoryUsedBytes: 1 << 20, MemoryTotalBytes: 40 << 30},
		{UUID: "GPU-bbb", MemoryTotalBytes: 40 << 30},
		{UUID: "GPU-ccc", MemoryTotalBytes: 40 << 30},
		{UUID: "MIG-one", MemoryUsedBytes: 5 << 20, MemoryTotalBytes: 19968 << 20},
		{UUID: "MIG-two", MemoryTotalBytes: 4864 << 20},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("loads (-want +got):\n%s", diff)
	}
	h.write(strings.Replace(text, "uuid=GPU-aaa", "lost=1 uuid=GPU-aaa", 1))
	if got, err = loads.Loads(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], got); diff != "" {
		t.Errorf("loads with a GPU that is lost (-want +got):\n%s", diff)
	}
}

func testStubHealth(t *testing.T, h stubHost, d monitor.Discoverer) {
	h.write(stubGPUs)
	l := gpu.NewLedger(gpu.Sharing{})
	m := monitor.New(monitor.Config{Discoverer: d, Ledger: l, Interval: 50 * time.Millisecond, HoldDown: time.Second})
	if err := m.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	total := func(resource string) int64 { return l.Totals()[resource] }

	// The second event is delivered after the first, so its effect shows that the
	// ignored one had none.
	events := stubGPUs + "xid gpu=0 code=31\nxid gpu=1 code=79\n"
	h.write(events)
	eventually(t, 6*time.Second, "GPU-bbb is out of the totals", func() bool { return total("nvidia.com/gpu") == 1 })
	for _, s := range l.Snapshot().Devices {
		want := s.UUID == "GPU-bbb"
		if got := s.State == gpu.StateUnhealthy; got != want {
			t.Errorf("%s is %s, for %v", s.UUID, s.State, s.Reasons)
		}
		if want && !strings.Contains(strings.Join(s.Reasons, ""), "XID 79 (GPU has fallen off the bus)") {
			t.Errorf("reasons = %q, want the XID", s.Reasons)
		}
	}
	eventually(t, 10*time.Second, "GPU-bbb is back after the hold-down", func() bool { return total("nvidia.com/gpu") == 2 })

	events += "xid gpu=2 code=48 gi=5 ci=0\n"
	h.write(events)
	eventually(t, 6*time.Second, "MIG-two is out", func() bool { return total("nvidia.com/mig-1g.5gb") == 0 })
	if got := total("nvidia.com/mig-3g.20gb"); got != 1 {
		t.Errorf("healthy instances of the other profile = %d, want 1", got)
	}

	lost := strings.Replace(events, "uuid=GPU-aaa", "lost=1 uuid=GPU-aaa", 1)
	h.write(lost)
	eventually(t, 6*time.Second, "GPU-aaa is lost", func() bool { return total("nvidia.com/gpu") == 1 })
	broken := strings.Replace(events, "uuid=GPU-aaa", "rows=1 uuid=GPU-aaa", 1)
	h.write(broken)
	eventually(t, 6*time.Second, "GPU-aaa is found again, but fails its probe", func() bool {
		for _, s := range l.Snapshot().Devices {
			if s.UUID == "GPU-aaa" && s.State == gpu.StateUnhealthy && strings.Contains(strings.Join(s.Reasons, ""), "replaced") {
				return true
			}
		}
		return false
	})
	h.write(events)
	eventually(t, 6*time.Second, "GPU-aaa is back", func() bool { return total("nvidia.com/gpu") == 2 })
}

func TestNVMLWithoutLibrary(t *testing.T) {
	_, err := nvml.Open(nvml.Options{LibraryPath: filepath.Join(t.TempDir(), "libnvidia-ml.so.1")})
	if !errors.Is(err, monitor.ErrNoDriver) || !errdefs.IsUnavailable(err) {
		t.Errorf("error = %v, want ErrNoDriver and unavailable", err)
	}
}
