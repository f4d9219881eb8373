package podspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// whole sets the resources of the pod as a whole.
func whole(limits, requests v1.ResourceList) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.Resources = &v1.ResourceRequirements{Limits: limits, Requests: requests} }
}

// asking has one container for each list of requests, and the resources of the pod.
func asking(limits, requests v1.ResourceList, containers ...v1.ResourceRequirements) func(*v1.Pod) {
	return func(p *v1.Pod) {
		whole(limits, requests)(p)
		one := p.Spec.Containers[0]
		p.Spec.Containers = nil
		for i, r := range containers {
			one.Name, one.Resources = string(rune('a'+i)), r
			p.Spec.Containers = append(p.Spec.Containers, one)
		}
	}
}

// TestAcceptResourcesOfThePod: what the Kubernetes API lets pass.
func TestAcceptResourcesOfThePod(t *testing.T) {
	has := func(limits, requests v1.ResourceList) v1.ResourceRequirements {
		return v1.ResourceRequirements{Limits: limits, Requests: requests}
	}
	for name, edit := range map[string]func(*v1.Pod){
		"both":                 whole(amounts("cpu", "1", "memory", "64Mi"), amounts("cpu", "500m", "memory", "64Mi")),
		"limits":               whole(amounts("memory", "64Mi"), nil),
		"requests":             whole(nil, amounts("memory", "64Mi")),
		"containers within it": asking(amounts("cpu", "2"), amounts("cpu", "1"), has(amounts("cpu", "2"), amounts("cpu", "500m")), has(amounts("cpu", "2"), amounts("cpu", "500m"))),
	} {
		pod := plainPod()
		edit(pod)
		if err := refuse(pod); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefuseResourcesOfThePod(t *testing.T) {
	has := func(limits, requests v1.ResourceList) v1.ResourceRequirements {
		return v1.ResourceRequirements{Limits: limits, Requests: requests}
	}
	check(t, []refusalCase{
		{"claims", func(p *v1.Pod) {
			p.Spec.Resources = &v1.ResourceRequirements{Claims: []v1.ResourceClaim{{Name: "gpu"}}}
		}, "spec.resources.claims: a pod as a whole cannot have claims"},
		{"devices", whole(amounts("nvidia.com/gpu", "1"), amounts("ephemeral-storage", "1Gi")),
			"spec.resources.limits.nvidia.com/gpu: is not a resource of a pod as a whole; there are cpu, memory and hugepages-*; " +
				"spec.resources.requests.ephemeral-storage: is not a resource of a pod as a whole; there are cpu, memory and hugepages-*"},
		{"huge pages", whole(amounts("hugepages-2Mi", "4Mi"), nil), "spec.resources.limits.hugepages-2Mi: this node has no huge pages of this size; leave it out"},
		{"negative", whole(amounts("memory", "-1"), nil), "spec.resources.limits.memory: -1 is negative"},
		{"request above the limit", whole(amounts("cpu", "1"), amounts("cpu", "2")), "spec.resources.requests.cpu: 2 is more than the limit of 1"},
		{"containers request more", asking(nil, amounts("cpu", "1"), has(nil, amounts("cpu", "600m")), has(nil, amounts("cpu", "600m"))),
			"spec.resources.requests.cpu: 1 is less than the 1200m that its containers request together"},
		{"limits of containers are requests", asking(amounts("memory", "100Mi"), nil, has(amounts("memory", "60Mi"), nil), has(amounts("memory", "60Mi"), nil)),
			"spec.resources.limits.memory: 100Mi is less than the 120Mi that its containers request together"},
		{"container with more", asking(amounts("memory", "64Mi"), amounts("memory", "64Mi"), has(amounts("memory", "65Mi"), amounts("memory", "1Mi"))),
			"spec.containers[0].resources.limits.memory: 65Mi is more than the limit of the pod, 64Mi"},
	})
}

// TestResourcesOfThePod: a container without a limit has the pod's, and the class and the
// score are those of what the pod as a whole asks for.
func TestResourcesOfThePod(t *testing.T) {
	const gi = 1 << 30
	for name, c := range map[string]struct {
		limits, requests       v1.ResourceList
		ownLimits, ownRequests v1.ResourceList
		want                   engine.Resources
		group, sandbox         engine.Bounds
	}{
		"limits": {limits: amounts("cpu", "2", "memory", "1Gi"),
			want:  engine.Resources{NanoCPUs: 2e9, MemoryBytes: gi, CPUShares: 2048},
			group: engine.Bounds{NanoCPUs: 2e9, MemoryBytes: gi}, sandbox: engine.Bounds{CPUShares: 2150, MemoryBytes: gi + (192+2*32)<<20}},
		"own limit": {limits: amounts("cpu", "2", "memory", "1Gi"), ownLimits: amounts("memory", "512Mi"), ownRequests: amounts("cpu", "1"),
			want:  engine.Resources{NanoCPUs: 2e9, MemoryBytes: gi / 2, CPUShares: 1024},
			group: engine.Bounds{NanoCPUs: 2e9, MemoryBytes: gi}, sandbox: engine.Bounds{CPUShares: 1126, MemoryBytes: gi + (192+2*32)<<20}},
		"requests": {requests: amounts("cpu", "1", "memory", "32Gi"), ownRequests: amounts("memory", "8Gi"),
			want:    engine.Resources{CPUShares: 2, OOMScoreAdj: 688},
			sandbox: engine.Bounds{CPUShares: 1126}},
		"guaranteed": {limits: amounts("cpu", "1", "memory", "1Gi"), requests: amounts("cpu", "1", "memory", "1Gi"), ownRequests: amounts("cpu", "100m"),
			want:  engine.Resources{NanoCPUs: 1e9, MemoryBytes: gi, CPUShares: 102},
			group: engine.Bounds{NanoCPUs: 1e9, MemoryBytes: gi}, sandbox: engine.Bounds{CPUShares: 1126, MemoryBytes: gi + (192+2*32)<<20}},
		"memory only is burstable": {limits: amounts("memory", "1Gi"), want: engine.Resources{MemoryBytes: gi, CPUShares: 2, OOMScoreAdj: 999},
			group: engine.Bounds{MemoryBytes: gi}, sandbox: engine.Bounds{CPUShares: 102, MemoryBytes: gi + (192+2*32)<<20}},
		"least CPU limit": {limits: amounts("cpu", "1m"), want: engine.Resources{NanoCPUs: 1e7, CPUShares: 2, OOMScoreAdj: 999},
			group: engine.Bounds{NanoCPUs: 1e7}, sandbox: engine.Bounds{CPUShares: 103}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			asking(c.limits, c.requests, v1.ResourceRequirements{Limits: c.ownLimits, Requests: c.ownRequests}, v1.ResourceRequirements{})(pod)
			if diff := cmp.Diff(c.want, containerResources(pod, &pod.Spec.Containers[0])); diff != "" {
				t.Errorf("container, -want +got:\n%s", diff)
			}
			group, needed := GroupBounds(pod)
			if group != c.group || needed != (c.group != engine.Bounds{}) {
				t.Errorf("group: %+v %t, want %+v", group, needed, c.group)
			}
			if got := Bounds(pod); got != c.sandbox {
				t.Errorf("sandbox: %+v, want %+v", got, c.sandbox)
			}
		})
	}
}

// TestDownwardAPIHasThePodsLimit: kubelet answers with it where the container has none.
func TestDownwardAPIHasThePodsLimit(t *testing.T) {
	pod := plainPod()
	whole(amounts("memory", "64Mi"), nil)(pod)
	withResources(amounts("memory", "0"), nil)(pod)
	about := Downward{Pod: pod, Allocatable: amounts("cpu", "3", "memory", "8Gi")}
	for name, want := range map[string]string{"limits.memory": "67108864", "limits.cpu": "3", "requests.memory": "0"} {
		got, err := about.Resource(&v1.ResourceFieldSelector{Resource: name}, &pod.Spec.Containers[0])
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
}
