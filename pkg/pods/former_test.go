package pods

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
)

// reluctant sandboxes are removed at the last of some tries.
type reluctant struct {
	Sandboxes
	tries    int
	err      error
	runs     bool
	runsErr  error
	asked    int
	rebooked bool
}

func (r *reluctant) Destroy(context.Context, string) error {
	if r.asked++; r.asked < r.tries {
		return r.err
	}
	return nil
}

func (r *reluctant) Runs(context.Context, string) (bool, error) { return r.runs, r.runsErr }

func (r *reluctant) Rebook(name string, ports []engine.Port) *pool.Claim {
	r.rebooked = true
	return &pool.Claim{Name: name}
}

// TestFormerIsWaitedFor: a pod does not start in another sandbox as long as the first
// one may run.
func TestFormerIsWaitedFor(t *testing.T) {
	const never = 1 << 30
	for name, c := range map[string]struct {
		sandboxes reluctant
		asked     int
		waits     bool
	}{
		"removed at once":             {reluctant{tries: 1}, 1, false},
		"engine away for some time":   {reluctant{tries: 4, err: errdefs.ErrUnavailable, runsErr: errdefs.ErrUnavailable}, 4, false},
		"engine away":                 {reluctant{tries: never, err: errdefs.ErrUnavailable, runsErr: errdefs.ErrUnavailable}, 0, true},
		"cannot be killed":            {reluctant{tries: never, err: errors.New("did not receive an exit event"), runs: true}, 0, true},
		"stopped, its network stays":  {reluctant{tries: never, err: errors.New("network has active endpoints")}, 1, false},
		"cannot be killed, then gone": {reluctant{tries: 3, err: errors.New("did not receive an exit event"), runs: true}, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sandboxes := &c.sandboxes
				m := New(Config{Dir: t.TempDir()}, sandboxes, nil, ailing{})
				defer m.Close()
				p := m.podOf(&records.Record{Pod: plainPod(), Stage: lifecycle.StageReplacing, Sandbox: "new", Replaced: "old"})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				err := p.removeReplaced(ctx)
				if waits := errors.Is(err, context.DeadlineExceeded); waits != c.waits || !waits && (err != nil || sandboxes.asked != c.asked) {
					t.Errorf("removeReplaced() = %v after %d tries, want %d, %v", err, sandboxes.asked, c.asked, c.waits)
				}
				if !c.waits {
					return
				}
				statuses, _ := p.statuses.Snapshot()
				if w := statuses[p.spec.Spec.Containers[0].Name].State.Waiting; w == nil || !strings.Contains(w.Message, "lost sandbox old") {
					t.Errorf("its user sees %+v", w)
				}
				again, cancelAgain := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancelAgain()
				l := &life{pod: p, work: again, seen: lifecycle.SeenNothing}
				for again.Err() == nil {
					l.advance(again)
				}
				if l.seen != lifecycle.SeenClaimed || p.record.Load().Stage != lifecycle.StageReplacing {
					t.Errorf("the pod came to %q, %q", p.record.Load().Stage, l.seen)
				}
			})
		})
	}
}
