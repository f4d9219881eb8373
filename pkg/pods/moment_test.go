package pods

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

func TestNow(t *testing.T) {
	first := now()
	if first.Boot == "" || first.Up <= 0 {
		t.Fatalf("now() = %+v", first)
	}
	if again := now(); again.Boot != first.Boot || again.Up < first.Up {
		t.Errorf("now() = %+v after %+v", again, first)
	}
}

// TestAge: a clock that is set does not change how long a pod has been active.
func TestAge(t *testing.T) {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	began := record{Since: clock, Began: moment{Boot: "b", Up: time.Hour}}
	for name, c := range map[string]struct {
		record   record
		at       moment
		clock    time.Time
		want     time.Duration
		rebooted bool
	}{
		"ten seconds later":      {began, moment{"b", time.Hour + 10*time.Second}, clock.Add(10 * time.Second), 10 * time.Second, false},
		"set forward":            {began, moment{"b", time.Hour + 10*time.Second}, clock.Add(time.Hour), 10 * time.Second, false},
		"set back":               {began, moment{"b", time.Hour + 10*time.Second}, clock.Add(-time.Hour), 10 * time.Second, false},
		"another boot":           {began, moment{"c", time.Minute}, clock.Add(time.Hour), time.Hour, true},
		"another boot, set back": {began, moment{"c", time.Minute}, clock.Add(-time.Hour), 0, true},
		"an older record":        {record{Since: clock}, moment{"b", time.Minute}, clock.Add(time.Minute), time.Minute, false},
		"a silent kernel":        {record{Since: clock}, moment{}, clock.Add(time.Minute), time.Minute, false},
		"silent since":           {began, moment{}, clock.Add(time.Minute), time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.record.age(c.at, c.clock); got != c.want {
				t.Errorf("age() = %s, want %s", got, c.want)
			}
			if got := c.record.rebooted(c.at); got != c.rebooted {
				t.Errorf("rebooted() = %t", got)
			}
		})
	}
}

// TestEndAfterTheClockWasSetBack: no container ends before it began.
func TestEndAfterTheClockWasSetBack(t *testing.T) {
	pod := plainPod()
	m := New(Config{Dir: t.TempDir()}, nil, nil, nil)
	r := m.newPod(pod).runner(&pod.Spec.Containers[0], nil, nil)
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	end := r.ended(engine.State{ExitCode: 1, StartedAt: began, FinishedAt: began.Add(-time.Hour)})
	if want := metav1.NewTime(began); !end.FinishedAt.Equal(&want) || !end.StartedAt.Equal(&want) {
		t.Errorf("it ran from %s to %s", end.StartedAt, end.FinishedAt)
	}
}

// TestDelaysWithoutAClock: how long a container ran is not taken from time stamps,
// so that a clock that is set neither skips nor repeats a back-off.
func TestDelaysWithoutAClock(t *testing.T) {
	r := &runner{}
	if got := r.ran(); got != 0 {
		t.Errorf("one that was never seen to run ran for %s", got)
	}
	delays := restartDelays{}
	for _, want := range []time.Duration{0, firstRestartDelay, 2 * firstRestartDelay} {
		if got := delays.next(-time.Hour); got != want {
			t.Errorf("after a run of less than nothing the delay is %s, want %s", got, want)
		}
	}
}
