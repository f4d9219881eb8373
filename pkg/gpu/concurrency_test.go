package gpu_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// witness is told who uses a device, and complains about a second user.
type witness struct {
	mu    sync.Mutex
	users map[string]string
}

func (w *witness) take(owner string, uuids []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range uuids {
		if other := w.users[u]; other != "" {
			return fmt.Errorf("%s was given to %s while %s holds it", u, owner, other)
		}
		w.users[u] = owner
	}
	return nil
}

func (w *witness) leave(uuids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range uuids {
		delete(w.users, u)
	}
}

// TestConcurrentPods: each gets what it asks for in the end, and no two have one GPU.
func TestConcurrentPods(t *testing.T) {
	const pods, rounds, gpus = 50, 25, 8
	l := ledgerOf(host(gpus))
	w := &witness{users: make(map[string]string)}
	var granted, refused atomic.Int64
	var all sync.WaitGroup
	for i := range pods {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			owner := fmt.Sprintf("pod-%d", i)
			for range rounds {
				want := random.Int64N(gpus) + 1
				a, err := l.Reserve(owner, ask("main", want))
				for ; errdefs.IsResourceExhausted(err); a, err = l.Reserve(owner, ask("main", want)) {
					refused.Add(1)
					runtime.Gosched() // others give theirs back
				}
				if err != nil {
					t.Errorf("%s: %v", owner, err)
					return
				}
				granted.Add(1)
				got := a.UUIDs("main")
				if int64(len(got)) != want {
					t.Errorf("%s got %d devices, want %d", owner, len(got), want)
				}
				if err := w.take(owner, got); err != nil {
					t.Error(err)
				}
				if random.IntN(4) == 0 {
					failing := uuid(random.IntN(gpus))
					l.MarkUnhealthy(failing, "XID 79")
					runtime.Gosched() // others ask meanwhile
					l.MarkHealthy(failing)
					l.Update(host(gpus))
					l.Totals()
				}
				w.leave(got)
				l.Release(owner)
			}
		})
	}
	all.Wait()
	if got := granted.Load(); got != pods*rounds {
		t.Errorf("%d of %d requests were granted", got, pods*rounds)
	}
	if refused.Load() == 0 {
		t.Error("no request was refused: the pods were not there at a time")
	}
	for i := range gpus {
		l.MarkHealthy(uuid(i))
	}
	if got := free(l, gpu.ResourceGPU); got != gpus {
		t.Errorf("free at the end = %d, want %d", got, gpus)
	}
	for _, d := range l.Snapshot().Devices {
		if len(d.Holders) != 0 {
			t.Errorf("holders of %s at the end = %v, want none", d.UUID, d.Holders)
		}
	}
}

func TestLastDevicesHaveOneWinner(t *testing.T) {
	for range 50 {
		l := ledgerOf(host(2))
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i := range errs {
			both.Go(func() { _, errs[i] = l.Reserve(fmt.Sprintf("pod-%d", i), ask("main", 2)) })
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("errors = %v, want exactly one winner", errs)
		}
	}
}
