package gpu_test

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

func TestWhatKeepsDevicesBack(t *testing.T) {
	tests := []struct {
		name       string
		do, undo   func(l *gpu.Ledger)
		wantTotals map[string]int64
	}{
		{"a fault", func(l *gpu.Ledger) { l.MarkUnhealthy(uuid(1), "XID 79") }, func(l *gpu.Ledger) { l.MarkHealthy(uuid(1)) },
			map[string]int64{gpu.ResourceGPU: 0, "nvidia.com/mig-3g.20gb": 2}},
		{"a fault of a partitioned GPU", func(l *gpu.Ledger) { l.MarkUnhealthy(uuid(0), "XID 79") }, func(l *gpu.Ledger) { l.MarkHealthy(uuid(0)) },
			map[string]int64{gpu.ResourceGPU: 1, "nvidia.com/mig-3g.20gb": 0}},
		{"a fault of an instance", func(l *gpu.Ledger) { l.MarkUnhealthy("MIG-1", "XID 79") }, func(l *gpu.Ledger) { l.MarkHealthy("MIG-1") },
			map[string]int64{gpu.ResourceGPU: 1, "nvidia.com/mig-3g.20gb": 1}},
		{"setting aside", func(l *gpu.Ledger) { l.Cordon([]string{uuid(1)}, "ambiguous") }, func(l *gpu.Ledger) { l.Uncordon([]string{uuid(1)}) },
			map[string]int64{gpu.ResourceGPU: 0, "nvidia.com/mig-3g.20gb": 2}},
		{"foreign use", func(l *gpu.Ledger) { l.SetForeign("processes", []gpu.Use{{UUID: uuid(1), By: "process 1"}}) }, func(l *gpu.Ledger) { l.SetForeign("processes", nil) },
			map[string]int64{gpu.ResourceGPU: 0, "nvidia.com/mig-3g.20gb": 2}},
		{"use by a pod that does not hold it", func(l *gpu.Ledger) {
			l.SetForeign("processes", []gpu.Use{{UUID: "MIG-0", Owner: "pod", By: "process 1"}})
		}, func(l *gpu.Ledger) { l.SetForeign("processes", nil) },
			map[string]int64{gpu.ResourceGPU: 1, "nvidia.com/mig-3g.20gb": 1}},
		{"loss", func(l *gpu.Ledger) { l.Update(gpu.Inventory{}) }, func(l *gpu.Ledger) { l.Update(partitioned()) },
			map[string]int64{gpu.ResourceGPU: 0, "nvidia.com/mig-3g.20gb": 0}},
	}
	whole := map[string]int64{gpu.ResourceGPU: 1, "nvidia.com/mig-3g.20gb": 2}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l := ledgerOf(partitioned())
			tc.do(l)
			if diff := cmp.Diff(tc.wantTotals, l.Totals()); diff != "" {
				t.Errorf("totals (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantTotals, l.Snapshot().Free); diff != "" {
				t.Errorf("free (-want +got):\n%s", diff)
			}
			tc.undo(l)
			if diff := cmp.Diff(whole, l.Totals()); diff != "" {
				t.Errorf("totals afterwards (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTotalsCountHeldDevices(t *testing.T) {
	l := ledgerOf(host(4))
	a := mustReserve(t, l, "pod", ask("main", 2))
	held := a.UUIDs("main")
	l.SetForeign("processes", []gpu.Use{
		{UUID: held[0], Owner: "pod", By: "process 1"},
		{UUID: held[1], By: "process 2"},
	})
	if got := l.Totals()[gpu.ResourceGPU]; got != 4 {
		t.Errorf("total = %d, want 4: what a pod holds is counted, strangers or not", got)
	}
	l.Release("pod")
	if got := l.Totals()[gpu.ResourceGPU]; got != 3 {
		t.Errorf("total = %d, want 3: the stranger is still there", got)
	}
	l.MarkUnhealthy(held[0], "XID 48 (uncorrectable memory error)")
	if err := l.Claim("pod", a); err != nil {
		t.Fatal(err)
	}
	if got, want := trouble(l, "pod"), held[0]+" (Test GPU) failed: XID 48 (uncorrectable memory error)"; got != want {
		t.Errorf("trouble = %q, want %q", got, want)
	}
}

// Old drivers tell the GPU of a process, but not its instance.
func TestProcessOfInstanceHolder(t *testing.T) {
	l := ledgerOf(partitioned())
	if err := l.Claim("pod", claim("MIG-0")); err != nil {
		t.Fatal(err)
	}
	l.SetForeign("processes", []gpu.Use{{UUID: uuid(0), Owner: "pod", By: "process 1"}})
	if got := free(l, "nvidia.com/mig-3g.20gb"); got != 1 {
		t.Errorf("free = %d, want the other instance", got)
	}
	l.SetForeign("processes", []gpu.Use{{UUID: uuid(0), By: "process 2"}})
	if got := free(l, "nvidia.com/mig-3g.20gb"); got != 0 {
		t.Errorf("free = %d, want none with a stranger on the GPU", got)
	}
}

func TestUnknownIsNotZero(t *testing.T) {
	if got := gpu.NewLedger(gpu.Sharing{}).Totals(); len(got) != 0 {
		t.Errorf("totals = %v, want none before anything is known", got)
	}
	l := ledgerOf(gpu.Inventory{Resources: []string{gpu.ResourceGPU}})
	if diff := cmp.Diff(map[string]int64{gpu.ResourceGPU: 0}, l.Totals()); diff != "" {
		t.Errorf("totals of a host without driver (-want +got):\n%s", diff)
	}
}

func TestSnapshot(t *testing.T) {
	l := ledgerOf(partitioned())
	if err := l.Claim("pod-b", claim("MIG-1", "GPU-gone")); err == nil {
		t.Fatal("the claim of a missing device was not reported")
	}
	l.Cordon([]string{uuid(1)}, "two pods may use it")
	type row struct {
		UUID    string
		State   gpu.State
		Holders []string
		Reasons []string
	}
	var got []row
	for _, d := range l.Snapshot().Devices {
		got = append(got, row{d.UUID, d.State, d.Holders, d.Reasons})
	}
	want := []row{
		{"GPU-gone", gpu.StateLost, []string{"pod-b"}, nil},
		{uuid(0), gpu.StatePartitioned, nil, nil},
		{"MIG-0", gpu.StateFree, nil, nil},
		{"MIG-1", gpu.StateHeld, []string{"pod-b"}, nil},
		{uuid(1), gpu.StateCordoned, nil, []string{"two pods may use it"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
}

func TestDevicesOfContainer(t *testing.T) {
	l := ledgerOf(host(2))
	devices, err := l.Devices(claim(uuid(1), uuid(0)), "main")
	if err != nil {
		t.Fatal(err)
	}
	if len(devices) != 2 || devices[0].UUID != uuid(0) {
		t.Errorf("devices = %v, want both in the host's order", devices)
	}
	if none, err := l.Devices(claim(uuid(1)), "other"); err != nil || len(none) != 0 {
		t.Errorf("devices of a container without any = %v, %v", none, err)
	}
	if _, err := l.Devices(claim("GPU-gone"), "main"); !errdefs.IsNotFound(err) {
		t.Errorf("error = %v, want not found", err)
	}
}
