package monitor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
)

// monitored runs a test in a bubble with a monitor of the driver. Its clock
// jumps, so hold-downs take no time.
func monitored(t *testing.T, d *gputest.Driver, cfg monitor.Config, test func(l *gpu.Ledger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d.Events = make(chan monitor.Event)
		cfg.Discoverer, cfg.Ledger = d, gpu.NewLedger(gpu.Sharing{})
		cfg.Interval, cfg.HoldDown = 5*time.Second, time.Minute
		m := monitor.New(cfg)
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
		event monitor.Event
		want  int64
	}{
		{"critical XID", monitor.Event{UUID: gputest.UUID(1), Kind: monitor.EventXID, XID: 79}, 3},
		{"application XID", monitor.Event{UUID: gputest.UUID(1), Kind: monitor.EventXID, XID: 31}, 4},
		{"memory error", monitor.Event{UUID: gputest.UUID(1), Kind: monitor.EventMemory}, 3},
		{"lost device", monitor.Event{UUID: gputest.UUID(1), Kind: monitor.EventUnavailable}, 3},
		{"device without events", monitor.Event{UUID: gputest.UUID(1), Kind: monitor.EventUnwatched}, 4},
		{"unknown device", monitor.Event{Kind: monitor.EventXID, XID: 79}, 0},
		{"doubt, but all probes pass", monitor.Event{Kind: monitor.EventDoubt}, 4},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := gputest.NewDriver(gputest.Host(4))
			monitored(t, d, monitor.Config{}, func(l *gpu.Ledger) {
				d.Events <- tc.event
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
	d := gputest.NewDriver(gputest.Host(4))
	monitored(t, d, monitor.Config{Ignored: monitor.IgnoredXIDs([]uint64{79}, []uint64{31})}, func(l *gpu.Ledger) {
		d.Events <- monitor.Event{UUID: gputest.UUID(0), Kind: monitor.EventXID, XID: 79}
		d.Events <- monitor.Event{UUID: gputest.UUID(1), Kind: monitor.EventXID, XID: 31}
		synctest.Wait()
		wantTotal(t, l, 3, "with XID 79 ignored and 31 critical")
	})
}

func TestProbeHasTheLastWord(t *testing.T) {
	d := gputest.NewDriver(gputest.Host(2))
	monitored(t, d, monitor.Config{}, func(l *gpu.Ledger) {
		d.Set(func() { d.Broken[gputest.UUID(0)] = errors.New("needs a reset") })
		d.Events <- monitor.Event{Kind: monitor.EventDoubt}
		synctest.Wait()
		wantTotal(t, l, 1, "after a doubt that the probe confirmed")
		after(3 * time.Minute)
		wantTotal(t, l, 1, "while the probe fails")
		d.Set(func() { delete(d.Broken, gputest.UUID(0)) })
		after(66 * time.Second)
		wantTotal(t, l, 2, "when the probe passes")
	})
}

func TestFaultDuringProbeStays(t *testing.T) {
	d := gputest.NewDriver(gputest.Host(1))
	monitored(t, d, monitor.Config{}, func(l *gpu.Ledger) {
		d.Events <- monitor.Event{UUID: gputest.UUID(0), Kind: monitor.EventXID, XID: 79}
		d.Set(func() {
			d.Probing = func() {
				d.Set(func() { d.Probing = nil })
				d.Events <- monitor.Event{UUID: gputest.UUID(0), Kind: monitor.EventXID, XID: 95}
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
	d := gputest.NewDriver(gputest.Host(4))
	var prepared []int
	prepare := func(_ context.Context, devices []gpu.Device) {
		if n := len(devices); len(prepared) == 0 || prepared[len(prepared)-1] != n {
			prepared = append(prepared, n)
		}
	}
	monitored(t, d, monitor.Config{Prepare: prepare}, func(l *gpu.Ledger) {
		if err := l.Claim("pod", gputest.Held(gputest.UUID(3))); err != nil {
			t.Fatal(err)
		}
		d.Set(func() { d.Host = gputest.Host(3); d.Broken[gputest.UUID(3)] = errors.New("not found") })
		after(6 * time.Second)
		wantTotal(t, l, 3, "after the loss")
		if got := gputest.Trouble(l, "pod"); !strings.Contains(got, "GPU-3 failed: the driver does not find it") {
			t.Errorf("trouble = %q", got)
		}
		d.Set(func() { d.Host = gputest.Host(4); delete(d.Broken, gputest.UUID(3)) })
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
	d := gputest.NewDriver(gputest.Partitioned())
	monitored(t, d, monitor.Config{}, func(l *gpu.Ledger) {
		total := func() int64 { return l.Totals()["nvidia.com/mig-3g.20gb"] }
		d.Events <- monitor.Event{UUID: "MIG-1", Kind: monitor.EventXID, XID: 79}
		synctest.Wait()
		if got := total(); got != 1 {
			t.Errorf("total = %d with a fault, want 1", got)
		}
		d.Set(func() { d.Host = gputest.Host(2) })
		after(6 * time.Second)
		d.Set(func() { d.Host = gputest.Partitioned() })
		after(6 * time.Second)
		if got := total(); got != 2 {
			t.Errorf("total = %d after it was made anew, want 2", got)
		}
	})
}

func TestFailureKeepsWhatWasKnown(t *testing.T) {
	d := gputest.NewDriver(gputest.Host(4))
	monitored(t, d, monitor.Config{}, func(l *gpu.Ledger) {
		d.Set(func() { d.Failure = errors.New("driver is busy") })
		after(time.Minute)
		wantTotal(t, l, 4, "while the driver fails")
	})
}

func TestWatchIsTakenUpAgain(t *testing.T) {
	d := gputest.NewDriver(gputest.Host(4))
	monitored(t, d, monitor.Config{}, func(l *gpu.Ledger) {
		close(d.Events)
		after(11 * time.Second)
		d.Set(func() {
			if d.Watches < 2 {
				t.Errorf("%d watches, want another after the first broke", d.Watches)
			}
		})
	})
}

func TestForeignProcesses(t *testing.T) {
	d := gputest.NewDriver(gputest.Host(4))
	d.Running = []monitor.Process{{PID: 1, UUID: gputest.UUID(0)}, {PID: 2, UUID: gputest.UUID(1)}, {PID: 3, UUID: gputest.UUID(2)}, {PID: 4, UUID: gputest.UUID(3)}}
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
	monitored(t, d, monitor.Config{Identify: identify}, func(l *gpu.Ledger) {
		if err := l.Claim("pod", gputest.Held(gputest.UUID(0))); err != nil {
			t.Fatal(err)
		}
		after(6 * time.Second)
		states := make(map[string]gpu.State)
		for _, s := range l.Snapshot().Devices {
			states[s.UUID] = s.State
		}
		want := map[string]gpu.State{gputest.UUID(0): gpu.StateHeld, gputest.UUID(1): gpu.StateFree, gputest.UUID(2): gpu.StateForeign, gputest.UUID(3): gpu.StateForeign}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		d.Set(func() { d.Running = nil })
		after(6 * time.Second)
		wantTotal(t, l, 4, "when the processes have ended")
	})
}

func TestRefreshCanBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := gputest.NewDriver(gputest.Host(1))
		d.Gate = make(chan struct{})
		m := monitor.New(monitor.Config{Discoverer: d, Ledger: gpu.NewLedger(gpu.Sharing{})})
		first := make(chan error, 1)
		go func() { first <- m.Refresh(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want the deadline", err)
		}
		close(d.Gate)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}
