package gpu_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// driver is a Discoverer whose host a test can change at any time.
type driver struct {
	events chan gpu.Event
	gate   chan struct{}

	mu        sync.Mutex
	inventory gpu.Inventory
	processes []gpu.Process
	broken    map[string]error
	failure   error
	watches   int
	probing   func()
}

func newDriver(inv gpu.Inventory) *driver {
	return &driver{events: make(chan gpu.Event), inventory: inv, broken: make(map[string]error)}
}

func (d *driver) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *driver) Inventory(context.Context) (gpu.Inventory, error) {
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inventory, d.failure
}

func (d *driver) Processes(context.Context) ([]gpu.Process, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.processes, nil
}

func (d *driver) Watch(ctx context.Context, report func(gpu.Event)) error {
	d.set(func() { d.watches++ })
	for {
		select {
		case e, open := <-d.events:
			if !open {
				return errors.New("watching broke")
			}
			report(e)
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *driver) Probe(_ context.Context, uuid string) error {
	d.mu.Lock()
	probing, err := d.probing, d.broken[uuid]
	d.mu.Unlock()
	if probing != nil {
		probing()
	}
	return err
}

func (*driver) Close() error { return nil }

// monitored runs a test in a bubble with a monitor of the driver. Its clock
// jumps, so hold-downs take no time.
func monitored(t *testing.T, d *driver, cfg gpu.MonitorConfig, test func(l *gpu.Ledger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d.events = make(chan gpu.Event)
		cfg.Discoverer, cfg.Ledger = d, gpu.NewLedger(gpu.Sharing{})
		cfg.Interval, cfg.HoldDown = 5*time.Second, time.Minute
		m := gpu.NewMonitor(cfg)
		if err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		test(cfg.Ledger)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// after lets the bubble's clock run.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func wantTotal(t *testing.T, l *gpu.Ledger, want int64, when string) {
	t.Helper()
	if got := l.Totals()[gpu.ResourceGPU]; got != want {
		t.Errorf("total = %d %s, want %d", got, when, want)
	}
}

func TestFaultsAndHoldDown(t *testing.T) {
	tests := []struct {
		name  string
		event gpu.Event
		want  int64
	}{
		{"critical XID", gpu.Event{UUID: uuid(1), Kind: gpu.EventXID, XID: 79}, 3},
		{"application XID", gpu.Event{UUID: uuid(1), Kind: gpu.EventXID, XID: 31}, 4},
		{"memory error", gpu.Event{UUID: uuid(1), Kind: gpu.EventMemory}, 3},
		{"lost device", gpu.Event{UUID: uuid(1), Kind: gpu.EventUnavailable}, 3},
		{"device without events", gpu.Event{UUID: uuid(1), Kind: gpu.EventUnwatched}, 4},
		{"unknown device", gpu.Event{Kind: gpu.EventXID, XID: 79}, 0},
		{"doubt, but all probes pass", gpu.Event{Kind: gpu.EventDoubt}, 4},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := newDriver(host(4))
			monitored(t, d, gpu.MonitorConfig{}, func(l *gpu.Ledger) {
				d.events <- tc.event
				synctest.Wait()
				wantTotal(t, l, tc.want, "at once")
				after(59 * time.Second)
				wantTotal(t, l, tc.want, "during the hold-down")
				after(6 * time.Second)
				wantTotal(t, l, 4, "after the hold-down")
			})
		})
	}
}

func TestIgnoredXIDOverrides(t *testing.T) {
	d := newDriver(host(4))
	monitored(t, d, gpu.MonitorConfig{Ignored: gpu.IgnoredXIDs([]uint64{79}, []uint64{31})}, func(l *gpu.Ledger) {
		d.events <- gpu.Event{UUID: uuid(0), Kind: gpu.EventXID, XID: 79}
		d.events <- gpu.Event{UUID: uuid(1), Kind: gpu.EventXID, XID: 31}
		synctest.Wait()
		wantTotal(t, l, 3, "with XID 79 ignored and 31 critical")
	})
}

func TestProbeHasTheLastWord(t *testing.T) {
	d := newDriver(host(2))
	monitored(t, d, gpu.MonitorConfig{}, func(l *gpu.Ledger) {
		d.set(func() { d.broken[uuid(0)] = errors.New("needs a reset") })
		d.events <- gpu.Event{Kind: gpu.EventDoubt}
		synctest.Wait()
		wantTotal(t, l, 1, "after a doubt that the probe confirmed")
		after(3 * time.Minute)
		wantTotal(t, l, 1, "while the probe fails")
		d.set(func() { delete(d.broken, uuid(0)) })
		after(66 * time.Second)
		wantTotal(t, l, 2, "when the probe passes")
	})
}

func TestFaultDuringProbeStays(t *testing.T) {
	d := newDriver(host(1))
	monitored(t, d, gpu.MonitorConfig{}, func(l *gpu.Ledger) {
		d.events <- gpu.Event{UUID: uuid(0), Kind: gpu.EventXID, XID: 79}
		d.set(func() {
			d.probing = func() {
				d.set(func() { d.probing = nil })
				d.events <- gpu.Event{UUID: uuid(0), Kind: gpu.EventXID, XID: 95}
				<-time.After(time.Millisecond)
			}
		})
		after(65 * time.Second)
		wantTotal(t, l, 0, "after a second fault during the probe of the first")
		after(66 * time.Second)
		wantTotal(t, l, 1, "after the second hold-down")
	})
}

func TestLostAndFoundDevice(t *testing.T) {
	d := newDriver(host(4))
	var prepared []int
	prepare := func(_ context.Context, devices []gpu.Device) {
		if n := len(devices); len(prepared) == 0 || prepared[len(prepared)-1] != n {
			prepared = append(prepared, n)
		}
	}
	monitored(t, d, gpu.MonitorConfig{Prepare: prepare}, func(l *gpu.Ledger) {
		if err := l.Claim("pod", claim(uuid(3))); err != nil {
			t.Fatal(err)
		}
		d.set(func() { d.inventory = host(3); d.broken[uuid(3)] = errors.New("not found") })
		after(6 * time.Second)
		wantTotal(t, l, 3, "after the loss")
		if got := trouble(l, "pod"); !strings.Contains(got, "GPU-3 failed: the driver does not find it") {
			t.Errorf("trouble = %q", got)
		}
		d.set(func() { d.inventory = host(4); delete(d.broken, uuid(3)) })
		after(6 * time.Second)
		wantTotal(t, l, 3, "during the hold-down of a device that came back")
		after(time.Minute)
		wantTotal(t, l, 4, "after the hold-down")
	})
	if diff := cmp.Diff([]int{4, 3, 4}, prepared); diff != "" {
		t.Errorf("numbers of devices to prepare for (-want +got):\n%s", diff)
	}
}

// An instance that an administrator removed is no fault, and takes its own along.
func TestRemovedInstanceIsForgotten(t *testing.T) {
	d := newDriver(partitioned())
	monitored(t, d, gpu.MonitorConfig{}, func(l *gpu.Ledger) {
		total := func() int64 { return l.Totals()["nvidia.com/mig-3g.20gb"] }
		d.events <- gpu.Event{UUID: "MIG-1", Kind: gpu.EventXID, XID: 79}
		synctest.Wait()
		if got := total(); got != 1 {
			t.Errorf("total = %d with a fault, want 1", got)
		}
		d.set(func() { d.inventory = host(2) })
		after(6 * time.Second)
		d.set(func() { d.inventory = partitioned() })
		after(6 * time.Second)
		if got := total(); got != 2 {
			t.Errorf("total = %d after it was made anew, want 2", got)
		}
	})
}

func TestFailureKeepsWhatWasKnown(t *testing.T) {
	d := newDriver(host(4))
	monitored(t, d, gpu.MonitorConfig{}, func(l *gpu.Ledger) {
		d.set(func() { d.failure = errors.New("driver is busy") })
		after(time.Minute)
		wantTotal(t, l, 4, "while the driver fails")
	})
}

func TestWatchIsTakenUpAgain(t *testing.T) {
	d := newDriver(host(4))
	monitored(t, d, gpu.MonitorConfig{}, func(l *gpu.Ledger) {
		close(d.events)
		after(11 * time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.watches < 2 {
			t.Errorf("%d watches, want another after the first broke", d.watches)
		}
	})
}

func TestForeignProcesses(t *testing.T) {
	d := newDriver(host(4))
	d.processes = []gpu.Process{{PID: 1, UUID: uuid(0)}, {PID: 2, UUID: uuid(1)}, {PID: 3, UUID: uuid(2)}, {PID: 4, UUID: uuid(3)}}
	identify := func(_ context.Context, pid int) (string, bool) {
		switch pid {
		case 1:
			return "pod", true
		case 2:
			return "", true
		case 3:
			return "pod", true
		}
		return "ignored", false
	}
	monitored(t, d, gpu.MonitorConfig{Identify: identify}, func(l *gpu.Ledger) {
		if err := l.Claim("pod", claim(uuid(0))); err != nil {
			t.Fatal(err)
		}
		after(6 * time.Second)
		states := make(map[string]gpu.State)
		for _, s := range l.Snapshot().Devices {
			states[s.UUID] = s.State
		}
		want := map[string]gpu.State{uuid(0): gpu.StateHeld, uuid(1): gpu.StateFree, uuid(2): gpu.StateForeign, uuid(3): gpu.StateForeign}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		d.set(func() { d.processes = nil })
		after(6 * time.Second)
		wantTotal(t, l, 4, "when the processes have ended")
	})
}

func TestRefreshCanBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver(host(1))
		d.gate = make(chan struct{})
		m := gpu.NewMonitor(gpu.MonitorConfig{Discoverer: d, Ledger: gpu.NewLedger(gpu.Sharing{})})
		first := make(chan error, 1)
		go func() { first <- m.Refresh(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want the deadline", err)
		}
		close(d.gate)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}
