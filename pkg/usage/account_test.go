package usage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAccount: what a pod used is the sum over its sandboxes, and no part of a sandbox's
// time before the pod came.
func TestAccount(t *testing.T) {
	begin := func(group string, cpu uint64) func(*Account) { return func(a *Account) { a.Begin(group, cpu) } }
	read := func(group string, cpu, peak uint64) func(*Account) {
		return func(a *Account) { a.Read(group, cpu, peak) }
	}
	for name, c := range map[string]struct {
		steps []func(*Account)
		cpu   time.Duration
		peak  uint64
	}{
		"nothing":                       {nil, 0, 0},
		"begun":                         {[]func(*Account){begin("a", 7)}, 0, 0},
		"one sandbox":                   {[]func(*Account){begin("a", 7), read("a", 10, 5), read("a", 20, 3)}, 13, 5},
		"found, never seen before":      {[]func(*Account){read("a", 20, 3)}, 20, 3},
		"told twice":                    {[]func(*Account){begin("a", 7), read("a", 20, 3), begin("a", 20)}, 13, 3},
		"lost, and in another":          {[]func(*Account){begin("a", 7), read("a", 20, 9), begin("b", 5), read("b", 6, 1)}, 14, 9},
		"lost while nobody looked":      {[]func(*Account){begin("a", 7), read("a", 20, 9), read("b", 6, 1)}, 19, 9},
		"started again":                 {[]func(*Account){begin("a", 7), read("a", 20, 9), read("a'", 30, 1), read("a'", 31, 1)}, 44, 9},
		"a group that is being removed": {[]func(*Account){begin("a", 7), read("a", 20, 9), read("a", 2, 1), read("a", 0, 0)}, 13, 9},
		"three sandboxes":               {[]func(*Account){read("a", 1, 1), read("b", 2, 1), read("c", 4, 1), read("c", 8, 1)}, 11, 1},
	} {
		a := &Account{}
		for _, step := range c.steps {
			step(a)
		}
		if a.CPU() != c.cpu || a.PeakBytes != c.peak {
			t.Errorf("%s: %d ns and %d bytes, want %d and %d: %+v", name, a.CPU(), a.PeakBytes, c.cpu, c.peak, a)
		}
	}
}

// TestBill: accelerators count from the create to the end, each of them.
func TestBill(t *testing.T) {
	created, placed := time.Unix(1000, 0), time.Unix(1010, 0)
	a := &Account{Last: 2_500_400_000, PeakBytes: 4, PeakWorkingSetBytes: 3, BusySeconds: 12.3456, Placed: placed}
	e := Ending{UID: "u", Namespace: "n", Name: "p", Phase: "succeeded", Created: created, Age: 90 * time.Second}
	got := a.bill("node", e, []string{"GPU-0", "GPU-1"}, time.Unix(1090, 0))
	started := placed.UTC()
	want := Bill{Node: "node", UID: "u", Namespace: "n", Name: "p", Phase: "succeeded", Created: created.UTC(), Started: &started, Ended: time.Unix(1090, 0).UTC(),
		CPUSeconds: 2.5, PeakMemoryBytes: 4, PeakWorkingSetBytes: 3, Devices: []string{"GPU-0", "GPU-1"}, DeviceSeconds: 180, DeviceBusySeconds: 12.346}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (&Account{}).bill("node", e, nil, created); got.Started != nil || got.DeviceSeconds != 0 {
		t.Errorf("a pod without sandbox and devices: %+v", got)
	}
}

// TestHistory: one point for each half minute of the last hour, in order.
func TestHistory(t *testing.T) {
	h := &history{}
	at := func(second int64, cpu uint64) {
		h.add(Figures{Time: time.Unix(second, 0), CPUNanoseconds: cpu, WorkingSetBytes: uint64(second) << 10})
	}
	at(1000, 5e9)
	at(1029, 6e9)
	at(1030, 20e9)
	if diff := cmp.Diff([]Point{{1000, 0, 1000}, {1030, 0.5, 1030}}, h.list()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	at(1060, 1e9) // another sandbox
	at(1090, 31e9)
	if got := h.list(); got[2].Cores != 0 || got[3].Cores != 1 {
		t.Errorf("after another sandbox: %+v", got)
	}
	for i := range int64(historyLength) {
		at(2000+30*i, 0)
	}
	got := h.list()
	if len(got) != historyLength || got[0].Second != 2000 || got[len(got)-1].Second != 2000+30*int64(historyLength-1) || cap(h.points) > 2*historyLength {
		t.Errorf("%d points from %d to %d", len(got), got[0].Second, got[len(got)-1].Second)
	}
}
