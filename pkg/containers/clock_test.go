package containers

import (
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestEndAfterTheClockWasSetBack: no container ends before it began.
func TestEndAfterTheClockWasSetBack(t *testing.T) {
	pod := plainPod()
	r := podFor(pod).runner(&pod.Spec.Containers[0], nil, nil)
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	end := r.terminatedState(engine.State{ExitCode: 1, StartedAt: began, FinishedAt: began.Add(-time.Hour)})
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
	delays := RestartDelays{}
	for _, want := range []time.Duration{0, firstRestartDelay, 2 * firstRestartDelay} {
		if got := delays.Next(-time.Hour); got != want {
			t.Errorf("after a run of less than nothing the delay is %s, want %s", got, want)
		}
	}
}
