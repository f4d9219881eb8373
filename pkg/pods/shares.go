package pods

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
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

// fitDelay bounds how long a pod's bounds wait for its first container.
const fitDelay = 2 * time.Second

// fit gives the sandbox the bounds of its pod as soon as its first container runs,
// and tries again until it has them. An update takes 17 ms of an engine and is a good
// part of a warm start on a machine of two cores, so it comes after that. Nothing
// waits for it, and a pod is not ended over it: what the sandbox was booted with, and
// what is above all sandboxes, holds meanwhile. It is not left at that, because only
// its own bound keeps a pod from what others were promised.
func (p *pod) fit(ctx context.Context, s *pool.Sandbox) {
	delay := time.NewTimer(fitDelay)
	defer delay.Stop()
	select {
	case <-p.start:
	case <-delay.C:
	case <-ctx.Done():
		return
	}
	tries := retry.New(time.Second, 30*time.Second)
	for {
		err := p.m.sandboxes.Fit(ctx, s, podBounds(p.spec))
		if err == nil {
			tries.Succeeded(ctx, "the sandbox has the bounds of its pod")
			return
		}
		if tries.Failed(ctx, "the sandbox keeps the bounds that it was booted with for now, trying again", err) != nil {
			return
		}
	}
}

// podBounds are a pod's as Kubernetes sums them up: all main containers and sidecars
// together, or an init container with the sidecars before it, whichever is more; and
// with them what the sandbox itself takes. Memory is bounded where every container
// is.
//
// There is no quota of CPU time. Each container has its own, and one around them all
// would hold up the engine inside with them, so that probes come late and logs wait.
// The weight does for the others what a quota would.
func podBounds(pod *v1.Pod) engine.Bounds {
	requests := resource.PodRequests(withCPURequests(pod), resource.PodResourcesOptions{ExcludeOverhead: true})
	out := engine.Bounds{CPUShares: cpuShares(min(requests.Cpu().MilliValue(), maxCPUs*1000) + engineMilliCPUs)}
	containers := allContainers(pod)
	for _, c := range containers {
		if c.Resources.Limits.Memory().IsZero() {
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

// withCPURequests is a pod in which a container that has a limit and no request
// requests its limit, as API servers fill it in.
func withCPURequests(pod *v1.Pod) *v1.Pod {
	out := pod.DeepCopy()
	for _, list := range [][]v1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range list {
			r := &list[i].Resources
			if limit, limited := r.Limits[v1.ResourceCPU]; limited && r.Requests.Cpu().IsZero() {
				if r.Requests == nil {
					r.Requests = v1.ResourceList{}
				}
				r.Requests[v1.ResourceCPU] = limit
			}
		}
	}
	return out
}
