package gpu

import "slices"

// marks are reasons by UUID. A mark on a GPU counts for its MIG instances as well.
type marks map[string]string

// of lists the reasons for a device: its own, then that of the GPU that it is a part of.
func (m marks) of(d Device) []string {
	var reasons []string
	for _, uuid := range []string{d.UUID, physical(d)} {
		if reason := m[uuid]; reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

// obstacles know what keeps devices from being given out, apart from the pods that hold them.
type obstacles struct {
	faults, cordons marks
	// foreign has the uses of devices that the ledger did not hand out, by their source.
	foreign map[string]marks
}

// newObstacles are none.
func newObstacles() obstacles {
	return obstacles{faults: make(marks), cordons: make(marks), foreign: make(map[string]marks)}
}

// fault is the device's own fault or else that of its GPU; empty if both are well.
func (o obstacles) fault(d Device) string {
	if faults := o.faults.of(d); len(faults) > 0 {
		return faults[0]
	}
	return ""
}

// foreignUses lists the uses of a device, sorted. Those of its GPU as a whole count, because
// drivers do not always tell the MIG instance.
func (o obstacles) foreignUses(d Device) []string {
	var uses []string
	for _, found := range o.foreign {
		uses = append(uses, found.of(d)...)
	}
	slices.Sort(uses)
	return slices.Compact(uses)
}

// state is StateFree, or the first obstacle in the order of the states.
func (o obstacles) state(d Device) State {
	switch {
	case o.fault(d) != "":
		return StateUnhealthy
	case len(o.cordons.of(d)) > 0:
		return StateCordoned
	case len(o.foreignUses(d)) > 0:
		return StateForeign
	}
	return StateFree
}
