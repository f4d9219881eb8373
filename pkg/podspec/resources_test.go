package podspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestContainerResources has kubelet's numbers: CPU limits from 10m on, weights
// from 2 to 262144, and an OOM score by class.
func TestContainerResources(t *testing.T) {
	for name, c := range map[string]struct {
		limits, requests v1.ResourceList
		want             engine.Resources
	}{
		"none":                      {nil, nil, engine.Resources{CPUShares: 2, OOMScoreAdj: 1000}},
		"zeros are none":            {amounts("cpu", "0", "memory", "0"), amounts("cpu", "0"), engine.Resources{CPUShares: 2, OOMScoreAdj: 1000}},
		"devices are no class":      {amounts("nvidia.com/gpu", "1"), nil, engine.Resources{CPUShares: 2, OOMScoreAdj: 1000}},
		"fraction of a CPU":         {amounts("cpu", "100m"), nil, engine.Resources{NanoCPUs: 100_000_000, CPUShares: 102, OOMScoreAdj: 999}},
		"least CPU limit":           {amounts("cpu", "1m"), nil, engine.Resources{NanoCPUs: 10_000_000, CPUShares: 2, OOMScoreAdj: 999}},
		"least weight":              {nil, amounts("cpu", "1m"), engine.Resources{CPUShares: 2, OOMScoreAdj: 999}},
		"most weight":               {nil, amounts("cpu", "300"), engine.Resources{CPUShares: 262144, OOMScoreAdj: 999}},
		"request wins over limit":   {amounts("cpu", "2"), amounts("cpu", "1"), engine.Resources{NanoCPUs: 2_000_000_000, CPUShares: 1024, OOMScoreAdj: 999}},
		"guaranteed":                {amounts("cpu", "1", "memory", "1Gi"), amounts("cpu", "1000m", "memory", "1024Mi"), engine.Resources{NanoCPUs: 1_000_000_000, MemoryBytes: 1 << 30, CPUShares: 1024}},
		"guaranteed by limits":      {amounts("cpu", "1", "memory", "1Gi"), nil, engine.Resources{NanoCPUs: 1_000_000_000, MemoryBytes: 1 << 30, CPUShares: 1024}},
		"burstable by half":         {nil, amounts("memory", "32Gi"), engine.Resources{CPUShares: 2, OOMScoreAdj: 500}},
		"burstable, all the memory": {nil, amounts("memory", "4Pi"), engine.Resources{CPUShares: 2, OOMScoreAdj: 3}},
		"burstable, no memory":      {amounts("cpu", "1"), nil, engine.Resources{NanoCPUs: 1_000_000_000, CPUShares: 1024, OOMScoreAdj: 999}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			withResources(c.limits, c.requests)(pod)
			if diff := cmp.Diff(c.want, containerResources(pod, &pod.Spec.Containers[0])); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestClassIsThePods: one container that asks for nothing changes the class of
// the others.
func TestClassIsThePods(t *testing.T) {
	pod := plainPod()
	withResources(amounts("cpu", "1", "memory", "32Gi"), nil)(pod)
	withInit(func(*v1.Container) {})(pod)
	if got := oomScore(pod, &pod.Spec.Containers[0]); got != 500 {
		t.Errorf("main container: %d, want 500", got)
	}
	if got := oomScore(pod, &pod.Spec.InitContainers[0]); got != 999 {
		t.Errorf("init container: %d, want 999", got)
	}
}

// TestBounds has Kubernetes' sums, and what a sandbox takes beside them.
func TestBounds(t *testing.T) {
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
		if got := Bounds(pod); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if diff := cmp.Diff(before, pod); diff != "" {
			t.Errorf("%s: the pod was changed (-before +after):\n%s", name, diff)
		}
	}
}
