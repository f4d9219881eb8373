package gpu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// SharingStrategy is how several containers use one GPU at a time.
type SharingStrategy string

// The strategies, named as NVIDIA's device plugin names them.
const (
	// SharingNone gives a device to one pod at a time.
	SharingNone SharingStrategy = ""
	// SharingTimeSlicing lets the driver switch between the containers; they are
	// not kept from each other's memory.
	SharingTimeSlicing SharingStrategy = "time-slicing"
	// SharingMPS runs the containers as clients of NVIDIA's Multi-Process Service,
	// each with an equal part of memory and threads.
	SharingMPS SharingStrategy = "mps"
)

// Sharing says which devices are shared, with the fields and the defaults of the
// "sharing" section of NVIDIA's device plugin. The zero value shares nothing.
type Sharing struct {
	Strategy SharingStrategy
	// RenameByDefault publishes a shared resource with the suffix ".shared".
	RenameByDefault bool
	// FailRequestsGreaterThanOne refuses a container that asks for more than one
	// replica, which would give it no more compute. Always so with MPS.
	FailRequestsGreaterThanOne bool
	Resources                  []SharedResource
}

// SharedResource is one resource whose devices are shared.
type SharedResource struct {
	// Name is the resource without sharing, for example nvidia.com/gpu.
	Name string
	// Rename is the name to publish instead; it wins over RenameByDefault.
	Rename string
	// Replicas is how many containers share a device, at least 2.
	Replicas int
}

// Validate refuses settings that cannot work: errdefs.ErrInvalidArgument.
func (s Sharing) Validate() error {
	switch s.Strategy {
	case SharingNone:
		if len(s.Resources) > 0 {
			return fmt.Errorf("sharing has resources but no strategy; set it to %q or %q: %w", SharingTimeSlicing, SharingMPS, errdefs.ErrInvalidArgument)
		}
	case SharingTimeSlicing, SharingMPS:
	default:
		return fmt.Errorf("unknown sharing strategy %q; use %q or %q: %w", s.Strategy, SharingTimeSlicing, SharingMPS, errdefs.ErrInvalidArgument)
	}
	offered := make(map[string]string)
	for _, r := range s.Resources {
		switch {
		case !strings.Contains(r.Name, "/"):
			return fmt.Errorf("sharing: %q is no resource name such as %s: %w", r.Name, ResourceGPU, errdefs.ErrInvalidArgument)
		case r.Replicas < 2:
			return fmt.Errorf("sharing %s: %d replicas share nothing, give at least 2: %w", r.Name, r.Replicas, errdefs.ErrInvalidArgument)
		case s.Strategy == SharingMPS && r.Name != ResourceGPU:
			return fmt.Errorf("sharing %s: MPS works for %s only: %w", r.Name, ResourceGPU, errdefs.ErrInvalidArgument)
		}
		name := s.Offered(r.Name)
		if first, taken := offered[name]; taken {
			return fmt.Errorf("sharing: %s and %s would both be published as %s: %w", first, r.Name, name, errdefs.ErrInvalidArgument)
		}
		offered[name] = r.Name
	}
	return nil
}

// Offered is the name under which a device's resource is published.
func (s Sharing) Offered(resource string) string {
	r, ok := s.of(resource)
	switch {
	case !ok:
		return resource
	case r.Rename != "":
		return r.Rename
	case s.RenameByDefault:
		return resource + ".shared"
	default:
		return resource
	}
}

// Replicas is how many containers may share one device of the resource.
func (s Sharing) Replicas(resource string) int {
	if r, ok := s.of(resource); ok {
		return r.Replicas
	}
	return 1
}

// of is how a resource is shared, and whether it is.
func (s Sharing) of(resource string) (SharedResource, bool) {
	if s.Strategy == SharingNone {
		return SharedResource{}, false
	}
	for _, r := range s.Resources {
		if r.Name == resource {
			return r, true
		}
	}
	return SharedResource{}, false
}

// oneEach says that a container may ask for one replica only, since more would give it no more.
func (s Sharing) oneEach() bool {
	return s.FailRequestsGreaterThanOne || s.Strategy == SharingMPS
}

// shares tells whether the resource, by its published name, is given out in replicas.
func (s Sharing) shares(resource string) bool {
	return slices.ContainsFunc(s.Resources, func(r SharedResource) bool {
		return s.Replicas(r.Name) > 1 && s.Offered(r.Name) == resource
	})
}

// publishes tells whether a device is given out under the name.
func (s Sharing) publishes(d Device, resource string) bool {
	return d.Resource != "" && s.Offered(d.Resource) == resource
}

// units lists the units that a device has, held or not.
func (s Sharing) units(d Device) []string {
	replicas := s.Replicas(d.Resource)
	if replicas == 1 {
		return []string{d.UUID}
	}
	units := make([]string, 0, replicas)
	for i := range replicas {
		units = append(units, d.UUID+replicaMark+strconv.Itoa(i))
	}
	return units
}

// A unit is what is given out: a device's UUID, or, of a shared device, the
// UUID with the number of a replica, written as NVIDIA's device plugin does.
const replicaMark = "::"

// unitUUID is the device of a unit.
func unitUUID(unit string) string {
	uuid, _, _ := strings.Cut(unit, replicaMark)
	return uuid
}
