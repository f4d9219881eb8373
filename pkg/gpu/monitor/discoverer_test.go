package monitor_test

import (
	"os"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/sysfs"
)

func TestCombinedWatch(t *testing.T) {
	first, second := gputest.NewDriver(gputest.Host(1)), gputest.NewDriver(gputest.Host(1))
	d := monitor.Combine(first, second, monitor.Null{}, sysfs.FPGAs("", ""))
	got := make(chan monitor.Event)
	done := make(chan error, 1)
	go func() { done <- d.Watch(t.Context(), func(e monitor.Event) { got <- e }) }()
	for _, part := range []*gputest.Driver{first, second} {
		part.Events <- monitor.Event{UUID: "GPU-0"}
		if e := <-got; e.UUID != "GPU-0" {
			t.Errorf("event = %+v", e)
		}
	}
	// The others end with it, or nobody would watch its devices ever again.
	close(first.Events)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "watching broke") {
		t.Errorf("error = %v, want that of the part that broke", err)
	}
}

func TestCombinedInventoryIsWhole(t *testing.T) {
	broken := gputest.NewDriver(gputest.Host(1))
	broken.Failure = os.ErrPermission
	if _, err := monitor.Combine(gputest.NewDriver(gputest.Host(2)), broken).Inventory(t.Context()); err == nil {
		t.Error("an inventory without the devices of a failing driver was taken for whole")
	}
}
