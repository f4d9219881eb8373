package pods

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// TestPodBounds has Kubernetes' sums, and what a sandbox takes beside them.
func TestPodBounds(t *testing.T) {
	const engineShares = 102
	always := v1.ContainerRestartPolicyAlways
	limited := func(memory string) v1.Container {
		return v1.Container{Resources: v1.ResourceRequirements{Limits: amounts("memory", memory)}}
	}
	requesting := func(cpu string) v1.Container {
		return v1.Container{Resources: v1.ResourceRequirements{Requests: amounts("cpu", cpu)}}
	}
	sidecar := func(c v1.Container) v1.Container { c.RestartPolicy = &always; return c }
	memory := func(mebibytes, containers int64) int64 { return (mebibytes + 192 + 32*containers) << 20 }
	for name, c := range map[string]struct {
		inits, mains []v1.Container
		want         engine.Bounds
	}{
		"nothing":                 {nil, []v1.Container{{}}, engine.Bounds{CPUShares: engineShares}},
		"least request":           {nil, []v1.Container{requesting("10m")}, engine.Bounds{CPUShares: 112}},
		"8 CPUs":                  {nil, []v1.Container{requesting("8")}, engine.Bounds{CPUShares: 8294}},
		"requests add up":         {nil, []v1.Container{requesting("1"), requesting("500m")}, engine.Bounds{CPUShares: 1638}},
		"most weight":             {nil, []v1.Container{requesting("1000"), requesting("1000")}, engine.Bounds{CPUShares: 262144}},
		"limit stands in":         {nil, []v1.Container{{Resources: v1.ResourceRequirements{Limits: amounts("cpu", "2")}}}, engine.Bounds{CPUShares: 2150}},
		"limits add up":           {nil, []v1.Container{limited("64Mi"), limited("36Mi")}, engine.Bounds{CPUShares: engineShares, MemoryBytes: memory(100, 2)}},
		"one without a limit":     {nil, []v1.Container{limited("64Mi"), {}}, engine.Bounds{CPUShares: engineShares}},
		"an init without a limit": {[]v1.Container{{}}, []v1.Container{limited("64Mi")}, engine.Bounds{CPUShares: engineShares}},
		"larger init container":   {[]v1.Container{limited("300Mi"), limited("20Mi")}, []v1.Container{limited("64Mi")}, engine.Bounds{CPUShares: engineShares, MemoryBytes: memory(300, 3)}},
		"smaller init container":  {[]v1.Container{limited("20Mi")}, []v1.Container{limited("64Mi")}, engine.Bounds{CPUShares: engineShares, MemoryBytes: memory(64, 2)}},
		"sidecar adds":            {[]v1.Container{sidecar(limited("20Mi"))}, []v1.Container{limited("64Mi")}, engine.Bounds{CPUShares: engineShares, MemoryBytes: memory(84, 2)}},
		"init beside a sidecar":   {[]v1.Container{sidecar(limited("20Mi")), limited("70Mi")}, []v1.Container{limited("64Mi")}, engine.Bounds{CPUShares: engineShares, MemoryBytes: memory(90, 3)}},
		"more than any host":      {nil, []v1.Container{limited("4Ei"), limited("4Ei")}, engine.Bounds{CPUShares: engineShares}},
	} {
		pod := plainPod()
		pod.Spec.InitContainers, pod.Spec.Containers = c.inits, c.mains
		before := pod.DeepCopy()
		if got := podBounds(pod); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if diff := cmp.Diff(before, pod); diff != "" {
			t.Errorf("%s: the pod was changed (-before +after):\n%s", name, diff)
		}
	}
}

// fitting notes when sandboxes are fitted, and refuses as often as it is told.
type fitting struct {
	Sandboxes
	refusals int
	asked    []time.Duration
	began    time.Time
	want     engine.Bounds
}

func (f *fitting) Fit(_ context.Context, _ *pool.Sandbox, want engine.Bounds) error {
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
				p := (&Manager{sandboxes: f}).newPod(plainPod())
				ctx, cancel := context.WithTimeout(t.Context(), c.ends)
				defer cancel()
				var starting sync.WaitGroup
				starting.Go(func() { time.Sleep(c.starts); p.settled(); p.settled() })
				p.fit(ctx, &pool.Sandbox{})
				starting.Wait()
				if c.refusals < 100 && len(f.asked) != c.least || len(f.asked) < c.least {
					t.Errorf("asked %d times, want %d", len(f.asked), c.least)
				}
				if c.least > 0 && (f.asked[0] != c.first || f.want != podBounds(p.spec)) {
					t.Errorf("asked first after %s for %+v, want after %s", f.asked[0], f.want, c.first)
				}
			})
		})
	}
}
