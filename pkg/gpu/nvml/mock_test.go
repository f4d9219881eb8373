//go:build cgo

package nvml

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxb200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
)

// dgx completes a mock server with what it leaves out: PCI addresses, the wiring
// of a DGX (pairs below a PCIe switch, two NUMA nodes, twelve links of every GPU
// to NVSwitches), processes and MIG instances. UUIDs are made predictable.
func dgx(t *testing.T, s *server.Server) monitor.Discoverer {
	t.Helper()
	sysfs := t.TempDir()
	for i, handle := range s.Devices {
		d := handle.(*server.Device)
		d.UUID = fmt.Sprintf("GPU-%d", i)
		bus := fmt.Sprintf("0000:%02x:00.0", i)
		writeFile(t, filepath.Join(sysfs, "bus/pci/devices", bus, "numa_node"), fmt.Sprintln(i/4))
		d.GetPciInfoFunc = func() (nvml.PciInfo, nvml.Return) {
			var p nvml.PciInfo
			for n, c := range "0000" + bus {
				p.BusId[n] = int8(c)
			}
			return p, nvml.SUCCESS
		}
		d.GetTopologyCommonAncestorFunc = func(other nvml.Device) (nvml.GpuTopologyLevel, nvml.Return) {
			switch j := other.(*server.Device).Index; {
			case i/2 == j/2:
				return nvml.TOPOLOGY_SINGLE, nvml.SUCCESS
			case i/4 == j/4:
				return nvml.TOPOLOGY_NODE, nvml.SUCCESS
			}
			return nvml.TOPOLOGY_SYSTEM, nvml.SUCCESS
		}
		d.GetNvLinkStateFunc = func(link int) (nvml.EnableState, nvml.Return) {
			if link >= 12 {
				return nvml.FEATURE_DISABLED, nvml.ERROR_INVALID_ARGUMENT
			}
			return nvml.FEATURE_ENABLED, nvml.SUCCESS
		}
		d.GetNvLinkRemoteDeviceTypeFunc = func(int) (nvml.IntNvLinkDeviceType, nvml.Return) {
			return nvml.NVLINK_DEVICE_TYPE_SWITCH, nvml.SUCCESS
		}
		d.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS }
		d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS }
		d.GetMPSComputeRunningProcessesFunc = d.GetComputeRunningProcessesFunc
		d.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 0, false, false, nvml.ERROR_NOT_SUPPORTED }
	}
	discoverer, err := start(s, Options{SysfsRoot: sysfs})
	if err != nil {
		t.Fatal(err)
	}
	return discoverer
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func refreshed(t *testing.T, d monitor.Discoverer) *gpu.Ledger {
	t.Helper()
	l := gpu.NewLedger(gpu.Sharing{})
	if err := monitor.New(monitor.Config{Discoverer: d, Ledger: l}).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDGXServers(t *testing.T) {
	for name, s := range map[string]*server.Server{"A100": dgxa100.New(), "H100": dgxh100.New(), "B200": dgxb200.New()} {
		t.Run(name, func(t *testing.T) {
			l := refreshed(t, dgx(t, s))
			if diff := cmp.Diff(map[string]int64{gpu.ResourceGPU: 8}, l.Totals()); diff != "" {
				t.Errorf("totals (-want +got):\n%s", diff)
			}
			for i, d := range l.All() {
				if d.Name == "" || d.MemoryBytes == 0 || d.Minor != i || d.NUMANode != i/4 || d.PCIBusID != fmt.Sprintf("0000:%02x:00.0", i) {
					t.Errorf("device %d is incomplete: %+v", i, d)
				}
			}
		})
	}
}

func TestDGXChoice(t *testing.T) {
	tests := []struct {
		name  string
		taken []string
		n     int64
		want  []string
	}{
		{"a pair below one PCIe switch", []string{"GPU-0"}, 2, []string{"GPU-2", "GPU-3"}},
		{"the lonely one for a single", []string{"GPU-4"}, 1, []string{"GPU-5"}},
		{"four in one NUMA node", []string{"GPU-1"}, 4, []string{"GPU-4", "GPU-5", "GPU-6", "GPU-7"}},
		{"what is left", []string{"GPU-0", "GPU-1", "GPU-2", "GPU-3", "GPU-4", "GPU-5"}, 2, []string{"GPU-6", "GPU-7"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l := refreshed(t, dgx(t, dgxa100.New()))
			if err := l.Claim("other", gpu.Assignment{Containers: map[string][]string{"c": tc.taken}}); err != nil {
				t.Fatal(err)
			}
			a, err := l.Reserve("pod", gpu.Request{Containers: []gpu.ContainerRequest{{Name: "main", Phase: gpu.PhaseMain, Counts: map[string]int64{gpu.ResourceGPU: tc.n}}}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, a.UUIDs("main")); diff != "" {
				t.Errorf("choice (-want +got):\n%s", diff)
			}
		})
	}
}

// Two containers of a pod get a pair each, not halves of pairs.
func TestDGXContainersStayTogether(t *testing.T) {
	l := refreshed(t, dgx(t, dgxh100.New()))
	two := map[string]int64{gpu.ResourceGPU: 2}
	a, err := l.Reserve("pod", gpu.Request{Containers: []gpu.ContainerRequest{
		{Name: "a", Phase: gpu.PhaseMain, Counts: two}, {Name: "b", Phase: gpu.PhaseMain, Counts: two},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := gpu.Assignment{Containers: map[string][]string{"a": {"GPU-0", "GPU-1"}, "b": {"GPU-2", "GPU-3"}}}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("assignment (-want +got):\n%s", diff)
	}
}

func TestDGXPartitioned(t *testing.T) {
	s := dgxa100.New()
	d := dgx(t, s)
	first := s.Devices[0].(*server.Device)
	if ret, _ := first.SetMigMode(nvml.DEVICE_MIG_ENABLE); ret != nvml.SUCCESS {
		t.Fatal(ret)
	}
	instance := &mock.Device{
		GetUUIDFunc:              func() (string, nvml.Return) { return "MIG-0", nvml.SUCCESS },
		GetNameFunc:              func() (string, nvml.Return) { return "NVIDIA A100 MIG 1g.5gb+me", nvml.SUCCESS },
		GetGpuInstanceIdFunc:     func() (int, nvml.Return) { return 7, nvml.SUCCESS },
		GetComputeInstanceIdFunc: func() (int, nvml.Return) { return 0, nvml.SUCCESS },
		GetAttributesFunc: func() (nvml.DeviceAttributes, nvml.Return) {
			return nvml.DeviceAttributes{GpuInstanceSliceCount: 1, ComputeInstanceSliceCount: 1, MemorySizeMB: 4864}, nvml.SUCCESS
		},
	}
	first.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	first.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		switch i {
		case 2:
			return instance, nvml.SUCCESS
		case 3:
			return nil, nvml.ERROR_UNKNOWN
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
	inv, err := d.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Skipped) != 1 {
		t.Errorf("skipped = %q, want the instance that cannot be read", inv.Skipped)
	}
	l := refreshed(t, d)
	if diff := cmp.Diff(map[string]int64{gpu.ResourceGPU: 7, "nvidia.com/mig-1g.5gb.me": 1}, l.Totals()); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}

func TestNVMLFailures(t *testing.T) {
	t.Run("driver and library do not match", func(t *testing.T) {
		s := dgxa100.New()
		s.InitFunc = func() nvml.Return { return nvml.ERROR_LIB_RM_VERSION_MISMATCH }
		if _, err := start(s, Options{}); !errors.Is(err, monitor.ErrNoDriver) || !errors.Is(err, nvml.ERROR_LIB_RM_VERSION_MISMATCH) {
			t.Errorf("error = %v, want monitor.ErrNoDriver and the cause", err)
		}
	})
	t.Run("a lost GPU is left out and said", func(t *testing.T) {
		s := dgxa100.New()
		d := dgx(t, s)
		get := s.DeviceGetHandleByIndexFunc
		s.DeviceGetHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
			if i == 3 {
				return nil, nvml.ERROR_GPU_IS_LOST
			}
			return get(i)
		}
		inv, err := d.Inventory(t.Context())
		if err != nil || len(inv.Devices) != 7 || len(inv.Skipped) != 1 {
			t.Errorf("%d devices, skipped %q, error %v; want 7 and one", len(inv.Devices), inv.Skipped, err)
		}
	})
	t.Run("a count that fails is no empty host", func(t *testing.T) {
		s := dgxa100.New()
		d := dgx(t, s)
		l := refreshed(t, d)
		s.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.ERROR_UNKNOWN }
		m := monitor.New(monitor.Config{Discoverer: d, Ledger: l})
		if err := m.Refresh(t.Context()); !errors.Is(err, nvml.ERROR_UNKNOWN) {
			t.Errorf("error = %v, want NVML's", err)
		}
		if got := l.Totals()[gpu.ResourceGPU]; got != 8 {
			t.Errorf("total = %d, want the 8 that were known", got)
		}
	})
	t.Run("an old library without a function", func(t *testing.T) {
		s := dgxa100.New()
		d := dgx(t, s)
		s.LookupSymbolFunc = func(string) error { return errors.New("no such symbol") }
		for _, handle := range s.Devices {
			device := handle.(*server.Device)
			device.GetMigModeFunc, device.GetRemappedRowsFunc, device.GetMPSComputeRunningProcessesFunc, device.GetNvLinkRemoteDeviceTypeFunc = nil, nil, nil, nil
			device.GetNvLinkRemotePciInfoFunc = func(int) (nvml.PciInfo, nvml.Return) { return nvml.PciInfo{}, nvml.ERROR_NOT_SUPPORTED }
		}
		if got := refreshed(t, d).Totals()[gpu.ResourceGPU]; got != 8 {
			t.Errorf("total = %d, want 8", got)
		}
		if err := d.Probe(t.Context(), "GPU-0"); err != nil {
			t.Errorf("probe: %v", err)
		}
	})
}

func TestNVMLProbes(t *testing.T) {
	s := dgxa100.New()
	d := dgx(t, s)
	s.Devices[1].(*server.Device).GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST }
	s.Devices[2].(*server.Device).GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 1, true, false, nvml.SUCCESS }
	for uuid, want := range map[string]bool{"GPU-0": true, "GPU-1": false, "GPU-2": false, "GPU-none": false} {
		if err := d.Probe(t.Context(), uuid); (err == nil) != want {
			t.Errorf("probe of %s: %v", uuid, err)
		}
	}
}

// fakeEvents is an event set that delivers what it was given, then times out.
type fakeEvents struct {
	mock.EventSet
	results []nvml.EventData
	broken  bool
}

func TestWatchReports(t *testing.T) {
	s := dgxa100.New()
	d := dgx(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lost := &mock.Device{GetUUIDFunc: func() (string, nvml.Return) { return "", nvml.ERROR_GPU_IS_LOST }}
	set := &fakeEvents{broken: true, results: []nvml.EventData{
		{Device: s.Devices[4], EventType: nvml.EventTypeXidCriticalError, EventData: 79, GpuInstanceId: noInstance, ComputeInstanceId: noInstance},
		{Device: s.Devices[5], EventType: nvml.EventTypeDoubleBitEccError},
		{Device: s.Devices[6], EventType: nvml.EventTypeGpuUnavailableError},
		{Device: lost, EventType: nvml.EventTypeXidCriticalError, EventData: 95},
	}}
	set.FreeFunc = func() nvml.Return { return nvml.SUCCESS }
	set.WaitFunc = func(uint32) (nvml.EventData, nvml.Return) {
		switch {
		case len(set.results) > 0:
			next := set.results[0]
			set.results = set.results[1:]
			return next, nvml.SUCCESS
		case set.broken:
			set.broken = false
			return nvml.EventData{}, nvml.ERROR_UNKNOWN
		}
		cancel()
		return nvml.EventData{}, nvml.ERROR_TIMEOUT
	}
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
	var registered int
	for i, handle := range s.Devices {
		device := handle.(*server.Device)
		device.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) {
			if i == 7 {
				return 0, nvml.ERROR_NOT_SUPPORTED
			}
			return nvml.EventTypeXidCriticalError | nvml.EventTypeClock, nvml.SUCCESS
		}
		device.RegisterEventsFunc = func(events uint64, _ nvml.EventSet) nvml.Return {
			if events != nvml.EventTypeXidCriticalError {
				t.Errorf("registered for events %#x, want those of health only", events)
			}
			registered++
			return nvml.SUCCESS
		}
	}
	type seen struct {
		UUID string
		Kind monitor.EventKind
		XID  uint64
	}
	var got []seen
	if err := d.Watch(ctx, func(e monitor.Event) { got = append(got, seen{e.UUID, e.Kind, e.XID}) }); err != nil {
		t.Fatal(err)
	}
	want := []seen{
		{"GPU-7", monitor.EventUnwatched, 0}, {"GPU-4", monitor.EventXID, 79}, {"GPU-5", monitor.EventMemory, 0},
		{"GPU-6", monitor.EventUnavailable, 0}, {"", monitor.EventXID, 95}, {"", monitor.EventDoubt, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if registered != 7 {
		t.Errorf("%d registrations, want one for each of 7 GPUs", registered)
	}
}
