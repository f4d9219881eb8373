package podspec

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	amount "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/resource"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// podLevel are the resources of the pod as a whole, empty where it names none.
func podLevel(pod *v1.Pod) v1.ResourceRequirements {
	return ptr.Deref(pod.Spec.Resources, v1.ResourceRequirements{})
}

// Limit of a container: its own, or that of the pod as a whole where it has none, as with
// kubelet. Zero is no limit.
func Limit(pod *v1.Pod, c *v1.Container, name v1.ResourceName) amount.Quantity {
	if own := c.Resources.Limits[name]; !own.IsZero() || !resource.IsSupportedPodLevelResource(name) {
		return own
	}
	return PodLimit(pod, name)
}

// PodLimit is that of the pod as a whole, zero if it has none.
func PodLimit(pod *v1.Pod, name v1.ResourceName) amount.Quantity { return podLevel(pod).Limits[name] }

// GroupBounds are those of the control group that all containers of a pod with limits of
// its own run in. false says that the pod needs no such group.
func GroupBounds(pod *v1.Pod) (engine.Bounds, bool) {
	limits := podLevel(pod).Limits
	out := engine.Bounds{NanoCPUs: limits.Cpu().MilliValue() * 1e6, MemoryBytes: limits.Memory().Value()}
	if out.NanoCPUs > 0 {
		out.NanoCPUs = max(out.NanoCPUs, minNanoCPUs)
	}
	return out, out != engine.Bounds{}
}

// withRequests is a pod with the requests that API servers fill in: a container, or then
// the pod as a whole, that has a limit and no request requests its limit. A pod whose
// containers request something has their sum for its request.
func withRequests(pod *v1.Pod) *v1.Pod {
	out := pod.DeepCopy()
	for _, list := range [][]v1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range list {
			fillIn(&list[i].Resources.Requests, list[i].Resources.Limits)
		}
	}
	if out.Spec.Resources != nil && len(out.Spec.Resources.Limits) > 0 {
		fillIn(&out.Spec.Resources.Requests, resource.AggregateContainerRequests(out, resource.PodResourcesOptions{}))
		fillIn(&out.Spec.Resources.Requests, out.Spec.Resources.Limits)
	}
	return out
}

// fillIn gives requests of CPU and memory that are missing.
func fillIn(requests *v1.ResourceList, from v1.ResourceList) {
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
		value, known := from[name]
		if _, set := (*requests)[name]; set || !known {
			continue
		}
		if *requests == nil {
			*requests = v1.ResourceList{}
		}
		(*requests)[name] = value
	}
}

// unclaimedMemory is what the pod as a whole requests beyond its containers, for each of
// them (kubelet's formula).
func unclaimedMemory(pod *v1.Pod) int64 {
	whole := podLevel(pod).Requests[v1.ResourceMemory]
	if whole.IsZero() {
		return 0
	}
	claimed := resource.AggregateContainerRequests(pod, resource.PodResourcesOptions{})
	return (whole.Value() - claimed.Memory().Value()) / int64(len(pod.Spec.Containers)+len(pod.Spec.InitContainers))
}

// wholePod finds what is wrong with the resources of a pod as a whole.
type wholePod struct{ *faults }

// resources checks spec.resources: amounts, and that no container has more.
func (f wholePod) resources(pod *v1.Pod, node Node) {
	if pod.Spec.Resources == nil {
		return
	}
	whole, at := podLevel(pod), field.NewPath("spec", "resources")
	before := len(f.list)
	for _, list := range []struct {
		name   string
		values v1.ResourceList
	}{{"limits", whole.Limits}, {"requests", whole.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.values)) {
			if !resource.IsSupportedPodLevelResource(name) {
				f.invalid(at.Child(list.name, string(name)), "is not a resource of a pod as a whole; there are cpu, memory and hugepages-*")
			}
		}
	}
	if f.amounts(whole, at, node); len(f.list) > before {
		return
	}
	f.consistent(pod, at)
}

// consistent compares what the pod as a whole and its containers have, as the Kubernetes
// API does.
func (f wholePod) consistent(pod *v1.Pod, at *field.Path) {
	whole := podLevel(pod)
	filled := withRequests(pod)
	sum := resource.AggregateContainerRequests(filled, resource.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(podLevel(filled).Requests)) {
		request, containers := podLevel(filled).Requests[name], sum[name]
		limit, limited := whole.Limits[name]
		switch _, given := whole.Requests[name]; {
		case request.Cmp(containers) < 0:
			f.invalid(at.Child("requests", string(name)), "%s is less than the %s that its containers request together", request.String(), containers.String())
		case !given && limited && request.Cmp(limit) > 0:
			f.invalid(at.Child("limits", string(name)), "%s is less than the %s that its containers request together", limit.String(), request.String())
		}
	}
	for _, c := range namedContainers(pod) {
		for _, name := range slices.Sorted(maps.Keys(whole.Limits)) {
			limit, own := whole.Limits[name], c.Resources.Limits[name]
			if own.Cmp(limit) > 0 {
				f.invalid(c.at.Child("resources", "limits", string(name)), "%s is more than the limit of the pod, %s", own.String(), limit.String())
			}
		}
	}
}
