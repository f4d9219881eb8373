package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// plan chooses devices for a request and takes none. The caller holds the lock,
// as for all functions of this file.
func (l *Ledger) plan(req Request) (Assignment, error) {
	a := Assignment{Containers: make(map[string][]string)}
	var errs []error
	for _, resource := range req.Resources() {
		dealt, err := l.planResource(resource, req)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for container, units := range dealt {
			a.Containers[container] = append(a.Containers[container], units...)
		}
	}
	if len(errs) > 0 {
		return Assignment{}, errors.Join(errs...)
	}
	return a, nil
}

// planResource chooses units of one resource for all containers of a request, by container.
// Errors are errdefs.ErrInvalidArgument for a request that can never be met and
// errdefs.ErrResourceExhausted for one that cannot be now. The caller holds the mutex.
func (l *Ledger) planResource(resource string, req Request) (map[string][]string, error) {
	shared := l.shared(resource)
	if shared && l.sharing.oneEach() {
		for _, c := range req.Containers {
			if n := c.Counts[resource]; n > 1 {
				return nil, fmt.Errorf("container %s asks for %d %s, but a shared device gives no more for more; ask for 1: %w",
					c.Name, n, resource, errdefs.ErrInvalidArgument)
			}
		}
	}
	need := int(req.Need(resource))
	free := l.freeUnits(resource)
	if len(free) < need {
		return nil, l.shortage(resource, need)
	}
	best := l.nearest
	if shared {
		best = l.spread
	}
	return req.deal(resource, best(free, need), best), nil
}

// nearest picks n of a list of exclusive units by the policy.
func (l *Ledger) nearest(from []string, n int) []string {
	var devices []Device
	for _, unit := range from {
		devices = append(devices, l.devices[unit])
	}
	var units []string
	for _, d := range choose(l.topology, devices, n) {
		units = append(units, d.UUID)
	}
	return units
}

// spread picks n replicas from the devices with the fewest users, and from
// different devices as long as there are some.
func (l *Ledger) spread(from []string, n int) []string {
	users := make(map[string]int)
	for _, unit := range from {
		users[unitUUID(unit)] = len(l.holders[unitUUID(unit)])
	}
	left := slices.Clone(from)
	var units []string
	for len(units) < n && len(left) > 0 {
		at := slices.Index(left, slices.MinFunc(left, func(a, b string) int {
			return cmp.Or(
				cmp.Compare(picked(units, a), picked(units, b)),
				cmp.Compare(users[unitUUID(a)], users[unitUUID(b)]),
				byPlace(l.devices[unitUUID(a)], l.devices[unitUUID(b)]),
				cmp.Compare(len(a), len(b)), strings.Compare(a, b),
			)
		}))
		units = append(units, left[at])
		left = slices.Delete(left, at, at+1)
	}
	return units
}

// picked counts the units of a unit's device.
func picked(units []string, unit string) int {
	n := 0
	for _, u := range units {
		if unitUUID(u) == unitUUID(unit) {
			n++
		}
	}
	return n
}

// shared tells whether the resource, by its offered name, is given out in parts.
func (l *Ledger) shared(resource string) bool {
	return slices.ContainsFunc(l.sharing.Resources, func(r SharedResource) bool {
		return l.sharing.Replicas(r.Name) > 1 && l.sharing.Offered(r.Name) == resource
	})
}

func (l *Ledger) offers(d Device, resource string) bool {
	return d.Resource != "" && l.sharing.Offered(d.Resource) == resource
}

// allUnits lists the units that a device would give if nobody held it.
func (l *Ledger) allUnits(d Device) []string {
	replicas := l.sharing.Replicas(d.Resource)
	if replicas == 1 {
		return []string{d.UUID}
	}
	units := make([]string, 0, replicas)
	for i := range replicas {
		units = append(units, replicaUnit(d.UUID, i))
	}
	return units
}

// freeUnits lists the units of a resource that no pod holds and nothing keeps back.
func (l *Ledger) freeUnits(resource string) []string {
	var free []string
	for _, d := range l.devices.List() {
		if !l.offers(d, resource) || l.blocked(d) != StateFree {
			continue
		}
		for _, unit := range l.allUnits(d) {
			if len(l.rivals(d, unit)) == 0 {
				free = append(free, unit)
			}
		}
	}
	return free
}

// allowPrivileged refuses a privileged container unless its pod holds every
// device of the host: it would see and could use those of other pods.
func (l *Ledger) allowPrivileged(req Request, a Assignment) error {
	container, privileged := req.privileged()
	if !privileged {
		return nil
	}
	held := a.units()
	var total, missing int
	for _, d := range l.devices {
		if d.Resource == "" {
			continue
		}
		total++
		if len(without(l.allUnits(d), held)) > 0 {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	return fmt.Errorf("container %s is privileged and would see all %d accelerators of this host, of which the pod holds only %d; "+
		"ask for all of them or drop privileged: %w", container, total, total-missing, errdefs.ErrFailedPrecondition)
}

// shortage tells why there is not enough, with the numbers.
func (l *Ledger) shortage(resource string, need int) error {
	counts := make(map[State]int)
	total := 0
	for _, d := range l.devices {
		if !l.offers(d, resource) {
			continue
		}
		for _, unit := range l.allUnits(d) {
			total++
			counts[l.unitState(d, unit)]++
		}
	}
	if total == 0 {
		return fmt.Errorf("asked for %d %s, but this host has none: %w", need, resource, errdefs.ErrResourceExhausted)
	}
	var why []string
	for _, s := range []struct {
		state State
		text  string
	}{
		{StateHeld, "in use by pods"},
		{StateForeign, "used by other processes on the host"},
		{StateUnhealthy, "unhealthy"},
		{StateAside, "set aside"},
	} {
		if n := counts[s.state]; n > 0 {
			why = append(why, fmt.Sprintf("%d %s", n, s.text))
		}
	}
	text := fmt.Sprintf("asked for %d %s, %d of %d free", need, resource, counts[StateFree], total)
	if len(why) > 0 {
		text += ": " + strings.Join(why, ", ")
	}
	return fmt.Errorf("%s: %w", text, errdefs.ErrResourceExhausted)
}
