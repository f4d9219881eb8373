package pods

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// fitting notes when sandboxes are fitted, and refuses as often as it is told.
type fitting struct {
	Sandboxes
	refusals int
	asked    []time.Duration
	began    time.Time
	want     engine.Bounds
}

func (f *fitting) Fit(_ context.Context, _ *sandbox.Sandbox, want engine.Bounds) error {
	f.asked, f.want = append(f.asked, time.Since(f.began)), want
	if len(f.asked) <= f.refusals {
		return errors.New("the engine is away")
	}
	return nil
}

// TestFit: bounds come after the first container's start, but do not wait for it for
// ever, and are tried again until the sandbox has them or the pod is over.
func TestFit(t *testing.T) {
	for name, c := range map[string]struct {
		starts   time.Duration
		refusals int
		ends     time.Duration
		first    time.Duration
		least    int
	}{
		"after the start":         {100 * time.Millisecond, 0, time.Hour, 100 * time.Millisecond, 1},
		"a start that takes long": {time.Minute, 0, time.Hour, fitDelay, 1},
		"tried again":             {0, 5, time.Hour, 0, 6},
		"over before":             {time.Minute, 0, time.Second, 0, 0},
		"over while it fails":     {0, 1000, time.Minute, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fitting{refusals: c.refusals, began: time.Now()}
				p := New(Config{}, f, nil, nil).newPod(plainPod())
				ctx, cancel := context.WithTimeout(t.Context(), c.ends)
				defer cancel()
				var starting sync.WaitGroup
				starting.Go(func() { time.Sleep(c.starts); p.settled(); p.settled() })
				(&sandboxRun{p: p, stay: &containers.Stay{Sandbox: &sandbox.Sandbox{}}}).fit(ctx)
				starting.Wait()
				if c.refusals < 100 && len(f.asked) != c.least || len(f.asked) < c.least {
					t.Errorf("asked %d times, want %d", len(f.asked), c.least)
				}
				if c.least > 0 && (f.asked[0] != c.first || f.want != podspec.Bounds(p.spec)) {
					t.Errorf("asked first after %s for %+v, want after %s", f.asked[0], f.want, c.first)
				}
			})
		})
	}
}
