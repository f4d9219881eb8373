package podspec

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	amount "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/resource"
)

// HugePages is how much there may be in pages of one size, in bytes.
type HugePages struct{ PageBytes, Bytes int64 }

// isHugePages says whether a resource is that of huge pages of some size.
func isHugePages(name v1.ResourceName) bool {
	return strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix)
}

// HugePagesName is the resource of pages of a size in bytes: hugepages-2Mi.
func HugePagesName(pageBytes int64) v1.ResourceName {
	return v1.ResourceName(v1.ResourceHugePagesPrefix + amount.NewQuantity(pageBytes, amount.BinarySI).String())
}

// PageBytes is the size of a page of such a resource, 0 if it names none.
func PageBytes(name v1.ResourceName) int64 {
	size, err := amount.ParseQuantity(strings.TrimPrefix(string(name), v1.ResourceHugePagesPrefix))
	if !isHugePages(name) || err != nil || size.Sign() <= 0 {
		return 0
	}
	return size.Value()
}

// AsksForHugePages says whether a pod, or a container of it, has huge pages.
func AsksForHugePages(pod *v1.Pod) bool { return len(hugePages(pod)) > 0 }

// hugePages of the pod as a whole, by resource: all main containers and sidecars together,
// or what an init container needs, whichever is more.
func hugePages(pod *v1.Pod) v1.ResourceList {
	out := resource.PodLimits(pod, resource.PodResourcesOptions{ExcludeOverhead: true})
	maps.DeleteFunc(out, func(name v1.ResourceName, q amount.Quantity) bool { return !isHugePages(name) || q.IsZero() })
	return out
}

// PodHugePages bound all containers of a pod together, by size of page; nil where it has no
// huge pages. A size that the node has and the pod does not is bounded to none.
func PodHugePages(pod *v1.Pod, node Node) []HugePages {
	whole := hugePages(pod)
	if len(whole) == 0 {
		return nil
	}
	return node.hugePages(func(name v1.ResourceName) amount.Quantity { return whole[name] })
}

// ContainerHugePages bound one container of a pod that has huge pages, nil in another one.
func ContainerHugePages(pod *v1.Pod, c *v1.Container, node Node) []HugePages {
	if !AsksForHugePages(pod) {
		return nil
	}
	return node.hugePages(func(name v1.ResourceName) amount.Quantity { return Limit(pod, c, name) })
}

// hugePages are bounds for all sizes of the node, in their order.
func (n Node) hugePages(limit func(v1.ResourceName) amount.Quantity) []HugePages {
	var out []HugePages
	for name := range n.HugePages {
		q := limit(name)
		out = append(out, HugePages{PageBytes(name), q.Value()})
	}
	slices.SortFunc(out, func(a, b HugePages) int { return cmp.Compare(a.PageBytes, b.PageBytes) })
	return out
}

// checkHugePages checks an amount as the Kubernetes API does, and that the node has it.
func checkHugePages(f *faults, at *field.Path, name v1.ResourceName, q amount.Quantity, node Node) {
	total, known := node.HugePages[name]
	size := PageBytes(name)
	switch {
	case q.IsZero():
	case size == 0:
		f.invalid(at, "is not a size of huge pages; there are names such as hugepages-2Mi")
	case !known:
		f.forbid(at, "%s; leave it out", cmp.Or(node.HugePagesTrouble, "this node has no huge pages of this size"))
	case q.Value()%size != 0:
		f.invalid(at, "%s is not a multiple of the size of a page", q.String())
	case q.Value() > total:
		f.forbid(at, "%s is more than the %s that this node has", q.String(), amount.NewQuantity(total, amount.BinarySI))
	}
}

// consistentHugePages: a request is the limit, as huge pages cannot be promised twice.
func consistentHugePages(f *faults, at *field.Path, r v1.ResourceRequirements) {
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		request, limit := r.Requests[name], r.Limits[name]
		if isHugePages(name) && request.Cmp(limit) != 0 {
			f.invalid(at.Child("requests", string(name)), "%s must be the limit, which is %s", request.String(), limit.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Limits)) {
		_, cpu := r.Limits[v1.ResourceCPU]
		_, memory := r.Limits[v1.ResourceMemory]
		_, requestsCPU := r.Requests[v1.ResourceCPU]
		_, requestsMemory := r.Requests[v1.ResourceMemory]
		if q := r.Limits[name]; isHugePages(name) && !q.IsZero() && !cpu && !memory && !requestsCPU && !requestsMemory {
			f.invalid(at.Child("limits", string(name)), "needs a limit or request of cpu or memory beside it")
			return
		}
	}
}

// VolumeHugePages is the size of a page of a volume with a medium of huge pages, and what
// the pod has of them, both in bytes. The sentence says what is wrong, "" for nothing.
func VolumeHugePages(pod *v1.Pod, medium v1.StorageMedium) (pages HugePages, wrong string) {
	whole := hugePages(pod)
	name, sized := strings.CutPrefix(string(medium), string(v1.StorageMediumHugePagesPrefix))
	resourceName := v1.ResourceName(v1.ResourceHugePagesPrefix + name)
	if !sized {
		if len(whole) != 1 {
			return pages, "medium HugePages needs containers with huge pages of one size, as in resources.limits hugepages-2Mi"
		}
		for only := range whole {
			resourceName = only
		}
	}
	for have, q := range whole {
		if size := PageBytes(have); size > 0 && size == PageBytes(resourceName) {
			return HugePages{size, q.Value()}, ""
		}
	}
	return pages, "medium " + shown(string(medium)) + " needs a container with huge pages of this size in resources.limits"
}
