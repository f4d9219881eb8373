package gpu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
)

// Phase is when a container of a pod runs, which decides what it may share.
type Phase string

// The phases.
const (
	// PhaseInit containers run one after the other before the main containers.
	PhaseInit Phase = "init"
	// PhaseSidecar containers are init containers that restart: they start in
	// their turn and run until the end of the pod.
	PhaseSidecar Phase = "sidecar"
	// PhaseMain containers run side by side.
	PhaseMain Phase = "main"
)

// ContainerRequest is what one container asks for.
type ContainerRequest struct {
	Name  string
	Phase Phase
	// Counts has the number of devices by resource name; zeros are left out.
	Counts map[string]int64
	// Privileged containers see every device of their sandbox.
	Privileged bool
}

// Request is what a pod asks for: its init containers and sidecars in the order
// of the spec, then its main containers.
type Request struct {
	Containers []ContainerRequest
}

// Empty tells whether no container asks for a device.
func (r Request) Empty() bool { return len(r.Resources()) == 0 }

// Resources lists the resource names that are asked for, sorted.
func (r Request) Resources() []string {
	var names []string
	for _, c := range r.Containers {
		for name := range c.Counts {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Need is how many devices the pod needs at once. It is the rule of the
// Kubernetes scheduler: the main containers and all sidecars together, or one
// init container and the sidecars started before it, whichever is more.
func (r Request) Need(resource string) int64 {
	var most, sidecars, main int64
	for _, c := range r.Containers {
		n := c.Counts[resource]
		switch c.Phase {
		case PhaseInit:
			most = max(most, n+sidecars)
		case PhaseSidecar:
			sidecars += n
			most = max(most, sidecars)
		case PhaseMain:
			main += n
		}
	}
	return max(most, sidecars+main)
}

// privileged is the name of the first privileged container, and whether there is one.
func (r Request) privileged() (string, bool) {
	for _, c := range r.Containers {
		if c.Privileged {
			return c.Name, true
		}
	}
	return "", false
}

// maxPerContainer keeps sums far from overflow; no host has as many devices.
const maxPerContainer = 1 << 16

// RequestFor reads what the containers of a pod ask for. As in Kubernetes a
// limit counts, and a request where there is no limit; the two may not differ.
// Every extended resource is read, known here or not, so that the ledger can
// refuse what the host does not have. Errors are errdefs.ErrInvalidArgument.
func RequestFor(pod *v1.Pod) (Request, error) {
	var r Request
	for _, c := range pod.Spec.InitContainers {
		phase := PhaseInit
		if c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			phase = PhaseSidecar
		}
		if err := r.add(c, phase); err != nil {
			return Request{}, err
		}
	}
	for _, c := range pod.Spec.Containers {
		if err := r.add(c, PhaseMain); err != nil {
			return Request{}, err
		}
	}
	return r, nil
}

// add reads the extended resources of a container. Errors are errdefs.ErrInvalidArgument.
func (r *Request) add(c v1.Container, phase Phase) error {
	counts := make(map[string]int64)
	for _, list := range []v1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
		for name, quantity := range list {
			if !extended(name) {
				continue
			}
			n, exact := quantity.AsInt64()
			if !exact || n < 0 || n > maxPerContainer {
				return fmt.Errorf("container %s asks for %s %s; give a whole number: %w", c.Name, quantity.String(), name, errdefs.ErrInvalidArgument)
			}
			if had, twice := counts[string(name)]; twice && had != n {
				return fmt.Errorf("container %s requests %d %s but has a limit of %d; make them equal: %w", c.Name, had, name, n, errdefs.ErrInvalidArgument)
			}
			counts[string(name)] = n
		}
	}
	for name, n := range counts {
		if n == 0 {
			delete(counts, name)
		}
	}
	privileged := c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
	r.Containers = append(r.Containers, ContainerRequest{Name: c.Name, Phase: phase, Counts: counts, Privileged: privileged})
	return nil
}

// extended tells Kubernetes' extended resources, which have a domain that is
// not Kubernetes' own, from cpu, memory, storage, huge pages and the like.
func extended(name v1.ResourceName) bool {
	domain, _, has := strings.Cut(string(name), "/")
	return has && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

// deal hands the units that the pod holds of a resource to its containers, by
// kubelet's rules: main containers and sidecars share nothing; an init container
// reuses any unit but those of sidecars that already run. best picks n of a list.
func (r Request) deal(resource string, pool []string, best func(from []string, n int) []string) map[string][]string {
	dealt := make(map[string][]string)
	left := pool
	for _, c := range r.lasting(resource) {
		dealt[c.Name] = best(left, int(c.Counts[resource]))
		left = without(left, dealt[c.Name])
	}
	usable := pool
	for _, c := range r.Containers {
		n := int(c.Counts[resource])
		switch {
		case n == 0:
		case c.Phase == PhaseSidecar:
			usable = without(usable, dealt[c.Name])
		case c.Phase == PhaseInit:
			dealt[c.Name] = best(usable, n)
		}
	}
	return dealt
}

// lasting lists main containers and sidecars, the largest wish first, so that
// it finds its devices close together.
func (r Request) lasting(resource string) []ContainerRequest {
	var list []ContainerRequest
	for _, c := range r.Containers {
		if c.Phase != PhaseInit && c.Counts[resource] > 0 {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b ContainerRequest) int {
		return int(b.Counts[resource] - a.Counts[resource])
	})
	return list
}

// without is a list less the items to remove.
func without(list, remove []string) []string {
	var left []string
	for _, s := range list {
		if !slices.Contains(remove, s) {
			left = append(left, s)
		}
	}
	return left
}
