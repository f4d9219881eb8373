package podspec

import (
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds beyond any machine, within which sums of millis and nanos are exact.
const (
	maxCPUs  = 1_000_000
	maxBytes = 1 << 52
)

// minMemory is the engine's own lower bound for a memory limit.
const minMemory = 6 << 20

// resources checks the limits and requests of a container.
func (f *faults) resources(c *v1.Container, at *field.Path, node Node) {
	f.amounts(c.Resources, at, node)
}

// amounts checks limits and requests, of a container or of a pod as a whole.
func (f *faults) amounts(r v1.ResourceRequirements, at *field.Path, node Node) {
	before := len(f.list)
	for _, list := range []struct {
		name   string
		values v1.ResourceList
	}{{"limits", r.Limits}, {"requests", r.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.values)) {
			f.quantity(at.Child(list.name, string(name)), name, list.values[name], node)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		request := r.Requests[name]
		limit, limited := r.Limits[name]
		// Devices, which have a domain, must be equal, and pkg/gpu says so.
		if limited && request.Cmp(limit) > 0 && !strings.Contains(string(name), "/") && !isHugePages(name) {
			f.invalid(at.Child("requests", string(name)), "%s is more than the limit of %s", request.String(), limit.String())
		}
	}
	if len(f.list) == before {
		consistentHugePages(f, at, r)
	}
	memory, limited := r.Limits[v1.ResourceMemory]
	if limited && memory.Sign() > 0 && memory.Value() < minMemory {
		f.invalid(at.Child("limits", "memory"), "%s is less than the 6Mi that a container needs", memory.String())
	}
}

// quantity checks one amount of a resource.
func (f *faults) quantity(at *field.Path, name v1.ResourceName, q resource.Quantity, node Node) {
	switch {
	case q.Sign() < 0:
		f.invalid(at, "%s is negative", q.String())
	case isHugePages(name):
		checkHugePages(f, at, name, q, node)
	case name == v1.ResourceCPU && q.CmpInt64(maxCPUs) > 0,
		(name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage) && q.CmpInt64(maxBytes) > 0:
		f.invalid(at, "%s is more than any machine has", q.String())
	case name == v1.ResourceCPU, name == v1.ResourceMemory, name == v1.ResourceEphemeralStorage,
		strings.Contains(string(name), "/"):
	default:
		f.invalid(at, "is not a resource of a container; there are cpu, memory, ephemeral-storage and devices")
	}
}
