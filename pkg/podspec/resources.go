package podspec

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// What a sandbox takes beside its pod's containers: an engine with its containerd,
// 40 MB private and 120 MB with what it maps, a shim of 10 MB for each container, and
// as much again for the commands of probes and hooks while they begin.
const (
	engineMemory    = 192 << 20
	containerMemory = 32 << 20
	// engineMilliCPUs keep the engine inside going: without them that of a pod that
	// requests nothing would wait for every pod that computes.
	engineMilliCPUs = 100
	// maxMemory is more than a host has, and far from where sums overflow.
	maxMemory = 1 << 60
)

// containerResources: limits in millicores and bytes, requests as weights, and
// the OOM killer's preference by QoS class, all by kubelet's formulas.
func containerResources(pod *v1.Pod, c *v1.Container) engine.Resources {
	cpu, memory := Limit(pod, c, v1.ResourceCPU), Limit(pod, c, v1.ResourceMemory)
	r := engine.Resources{
		NanoCPUs:    cpu.MilliValue() * 1e6,
		MemoryBytes: memory.Value(),
		OOMScoreAdj: oomScore(pod, c),
	}
	milli := c.Resources.Requests.Cpu().MilliValue()
	if milli == 0 {
		milli = cpu.MilliValue()
	}
	// A container without a CPU request gets the least weight, as in kubelet.
	r.CPUShares = cpuShares(milli)
	if r.NanoCPUs > 0 {
		r.NanoCPUs = max(r.NanoCPUs, minNanoCPUs)
	}
	return r
}

// cpuShares are the weight of a request, in thousandths of a CPU, within what the
// kernel takes.
func cpuShares(milli int64) int64 { return min(max(milli*1024/1000, 2), 262144) }

// minNanoCPUs is the least CPU limit that the kernel can keep, 10m as in kubelet.
const minNanoCPUs = 10e6

// nodeMemory stands for the machine's memory in the burstable formula below.
// Scores only need to be in order; a fixed size keeps them the same everywhere.
const nodeMemory = 64 << 30

// oomScore orders containers for the kernel's OOM killer. Kubelet's -997 for a
// guaranteed pod is out of reach of a sandbox that may not lower scores, so 0.
func oomScore(pod *v1.Pod, c *v1.Container) int {
	memory := c.Resources.Requests.Memory().Value()
	if memory == 0 {
		memory = c.Resources.Limits.Memory().Value()
	}
	switch {
	case bestEffort(pod):
		return 1000
	case guaranteed(pod):
		return 0
	}
	return int(min(max(1000-1000*(memory+unclaimedMemory(pod))/nodeMemory, 3), 999))
}

// lists are the lists of resources that say which class a pod is of: those of the pod as a
// whole where it has any, and otherwise those of each container, limits and then requests.
func lists(pod *v1.Pod) [][2]v1.ResourceList {
	if resource.IsPodLevelResourcesSet(pod) {
		return [][2]v1.ResourceList{{pod.Spec.Resources.Limits, pod.Spec.Resources.Requests}}
	}
	var out [][2]v1.ResourceList
	for _, c := range Containers(pod) {
		out = append(out, [2]v1.ResourceList{c.Resources.Limits, c.Resources.Requests})
	}
	return out
}

// QOSClass is the quality of service class of a pod, by kubelet's rules.
func QOSClass(pod *v1.Pod) v1.PodQOSClass {
	switch {
	case bestEffort(pod):
		return v1.PodQOSBestEffort
	case guaranteed(pod):
		return v1.PodQOSGuaranteed
	}
	return v1.PodQOSBurstable
}

// bestEffort is the class of a pod that asks for no CPU and no memory.
func bestEffort(pod *v1.Pod) bool {
	for _, both := range lists(pod) {
		for _, list := range both {
			if !list.Cpu().IsZero() || !list.Memory().IsZero() {
				return false
			}
		}
	}
	return true
}

// guaranteed is the class of a pod that has limits of CPU and memory which are also its
// requests, or whose containers all have.
func guaranteed(pod *v1.Pod) bool {
	for _, both := range lists(pod) {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			limit, limited := both[0][name]
			request, requested := both[1][name]
			if !limited || limit.IsZero() || requested && limit.Cmp(request) != 0 {
				return false
			}
		}
	}
	return true
}

// Bounds of a pod's sandbox are the pod's as Kubernetes sums them up: all main containers
// and sidecars together, or an init container with the sidecars before it, whichever is
// more; or those of the pod as a whole, where it has such; and with them what the sandbox
// itself takes. Memory is bounded where the pod or every container is.
//
// There is no quota of CPU time. Each container has its own, and one around them all
// would hold up the engine inside with them, so that probes come late and logs wait.
// The weight does for the others what a quota would.
func Bounds(pod *v1.Pod) engine.Bounds {
	requests := resource.PodRequests(withRequests(pod), resource.PodResourcesOptions{ExcludeOverhead: true})
	out := engine.Bounds{CPUShares: cpuShares(min(requests.Cpu().MilliValue(), maxCPUs*1000) + engineMilliCPUs)}
	containers := Containers(pod)
	for _, c := range containers {
		if limit := Limit(pod, &c, v1.ResourceMemory); limit.IsZero() {
			return out
		}
	}
	limits := resource.PodLimits(pod, resource.PodResourcesOptions{ExcludeOverhead: true})
	if limits.Memory().CmpInt64(maxMemory) > 0 {
		return out // no host has it
	}
	out.MemoryBytes = limits.Memory().Value() + engineMemory + containerMemory*int64(len(containers))
	return out
}
