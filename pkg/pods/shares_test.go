package pods

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
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
