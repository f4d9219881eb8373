package pods

import (
	"testing"
	"time"
)

// TestTrap4Delays are kubelet's.
func TestTrap4Delays(t *testing.T) {
	var d restartDelays
	for i, want := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300} {
		if got := d.next(time.Minute); got != want*time.Second {
			t.Errorf("restart %d waits %s, want %s", i, got, want*time.Second)
		}
	}
	if got := d.next(10 * time.Minute); got != 0 {
		t.Errorf("after a long run: %s", got)
	}
	if got := d.next(time.Minute); got != 10*time.Second {
		t.Errorf("the one after: %s", got)
	}
}
