package gpu

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// offer is what the host has of one resource at one moment. To choose from it takes nothing.
type offer struct {
	// resource is the name under which the devices are published.
	resource string
	// shared says that devices are given out in replicas, and single that a container may
	// have one of them only.
	shared, single bool
	// free are the units that can be given out, and states counts all units by what they do.
	free   []string
	states map[State]int
	// devices are those of the offer, and users the number of units of each that are held.
	devices  Devices
	users    map[string]int
	topology Topology
}

// deal chooses units for all containers of a request, by container.
//
// Errors: errdefs.ErrInvalidArgument for a request that can never be met,
// errdefs.ErrResourceExhausted for one that cannot be met now.
func (o offer) deal(req Request) (map[string][]string, error) {
	if o.single {
		for _, c := range req.Containers {
			if n := c.Counts[o.resource]; n > 1 {
				return nil, fmt.Errorf("container %s asks for %d %s, but a shared device gives no more for more; ask for 1: %w",
					c.Name, n, o.resource, errdefs.ErrInvalidArgument)
			}
		}
	}
	need := int(req.Need(o.resource))
	if len(o.free) < need {
		return nil, o.shortage(need)
	}
	best := o.nearest
	if o.shared {
		best = o.spread
	}
	return req.deal(o.resource, best(o.free, need), best), nil
}

// nearest picks n of a list of exclusive units by the policy.
func (o offer) nearest(from []string, n int) []string {
	var devices []Device
	for _, unit := range from {
		devices = append(devices, o.devices[unit])
	}
	var units []string
	for _, d := range choose(o.topology, devices, n) {
		units = append(units, d.UUID)
	}
	return units
}

// spread picks n replicas from the devices with the fewest users, and from
// different devices as long as there are some.
func (o offer) spread(from []string, n int) []string {
	left := slices.Clone(from)
	var units []string
	for len(units) < n && len(left) > 0 {
		at := slices.Index(left, slices.MinFunc(left, func(a, b string) int {
			return cmp.Or(
				cmp.Compare(picked(units, a), picked(units, b)),
				cmp.Compare(o.users[unitUUID(a)], o.users[unitUUID(b)]),
				byPlace(o.devices[unitUUID(a)], o.devices[unitUUID(b)]),
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

// shortage tells why there is not enough, with the numbers. It is
// errdefs.ErrResourceExhausted.
func (o offer) shortage(need int) error {
	total := 0
	for _, n := range o.states {
		total += n
	}
	if total == 0 {
		return fmt.Errorf("asked for %d %s, but this host has none: %w", need, o.resource, errdefs.ErrResourceExhausted)
	}
	var why []string
	for _, s := range []struct {
		state State
		text  string
	}{
		{StateHeld, "in use by pods"},
		{StateForeign, "used by other processes on the host"},
		{StateUnhealthy, "unhealthy"},
		{StateCordoned, "set aside"},
	} {
		if n := o.states[s.state]; n > 0 {
			why = append(why, fmt.Sprintf("%d %s", n, s.text))
		}
	}
	text := fmt.Sprintf("asked for %d %s, %d of %d free", need, o.resource, o.states[StateFree], total)
	if len(why) > 0 {
		text += ": " + strings.Join(why, ", ")
	}
	return fmt.Errorf("%s: %w", text, errdefs.ErrResourceExhausted)
}
