package gpu

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// State is what a device is doing, as administrators see it.
type State string

// The states. A device that is in several of them shows the first of this list.
const (
	// StateHeld is held by a pod.
	StateHeld State = "held"
	// StateUnhealthy is out of use because of a fault.
	StateUnhealthy State = "unhealthy"
	// StateAside is set aside.
	StateAside State = "set aside"
	// StateForeign is used by somebody else on the host.
	StateForeign State = "foreign use"
	// StateLost is held by a pod, but not found any more.
	StateLost State = "lost"
	// StatePartitioned is a GPU of which only the MIG instances are given out.
	StatePartitioned State = "partitioned"
	// StateFree can be given out.
	StateFree State = "free"
)

// DeviceState is a device with all that the ledger knows about it.
type DeviceState struct {
	Device
	State State `json:"state"`
	// Offered is the resource name under which the device is published.
	Offered string `json:"offered,omitempty"`
	// Holders lists the pods that hold the device or a replica of it.
	Holders []string `json:"holders,omitempty"`
	// Reasons has one sentence for each thing that keeps the device back.
	Reasons []string `json:"reasons,omitempty"`
}

// Snapshot is a view of the whole ledger.
type Snapshot struct {
	Drivers []Driver         `json:"drivers,omitempty"`
	Devices []DeviceState    `json:"devices,omitempty"`
	Totals  map[string]int64 `json:"totals,omitempty"`
	Free    map[string]int64 `json:"free,omitempty"`
}

// Snapshot copies what the ledger knows, for administrators.
func (l *Ledger) Snapshot() Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{Drivers: slices.Clone(l.drivers), Totals: l.totals(), Free: make(map[string]int64)}
	for resource := range s.Totals {
		s.Free[resource] = int64(len(l.freeUnits(resource)))
	}
	for _, d := range l.devices.List() {
		s.Devices = append(s.Devices, DeviceState{
			Device: d, State: l.state(d), Offered: l.sharing.Offered(d.Resource),
			Holders: l.holdersOf(d.UUID), Reasons: l.reasons(d),
		})
	}
	for uuid := range l.holders {
		if !l.devices.Contains(uuid) {
			d := Device{UUID: uuid, NUMANode: UnknownNUMANode}
			s.Devices = append(s.Devices, DeviceState{Device: d, State: StateLost, Holders: l.holdersOf(uuid), Reasons: l.reasons(d)})
		}
	}
	slices.SortFunc(s.Devices, func(a, b DeviceState) int { return byPlace(a.Device, b.Device) })
	return s
}

// Totals counts what the host can offer by resource name, held or not: healthy
// devices that nobody else uses, times their replicas. These are the numbers for
// the ping, where the scheduler subtracts what pods hold (protocol 2.4). A name
// that was offered once stays, with zero.
func (l *Ledger) Totals() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals()
}

// totals counts the units that are offered, by the name under which they are; the caller
// holds the mutex.
func (l *Ledger) totals() map[string]int64 {
	totals := make(map[string]int64, len(l.resources))
	for name := range l.resources {
		totals[name] = 0
	}
	for _, d := range l.devices {
		if d.Resource == "" {
			continue
		}
		out := l.blocked(d)
		// The pod that holds a device counts against the total, so a device that it
		// shares with a stranger has to stay in.
		if out == StateFree || (out == StateForeign && len(l.holders[d.UUID]) > 0) {
			totals[l.sharing.Offered(d.Resource)] += int64(len(l.allUnits(d)))
		}
	}
	return totals
}

// DeviceHealth is how a device is that somebody holds.
type DeviceHealth struct {
	UUID string
	// Offered is the resource name that was asked for, empty for a device that is
	// not found any more.
	Offered string
	// Trouble is a sentence, empty if the device is well.
	Trouble string
}

// Health tells how the devices of one container are, in the order of its
// assignment.
func (l *Ledger) Health(owner, container string) []DeviceHealth {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []DeviceHealth
	for _, uuid := range l.assigned[owner].UUIDs(container) {
		h := DeviceHealth{UUID: uuid, Trouble: l.trouble(uuid)}
		if d, exists := l.devices[uuid]; exists {
			h.Offered = l.sharing.Offered(d.Resource)
		}
		list = append(list, h)
	}
	return list
}

// trouble tells what is wrong with a device.
func (l *Ledger) trouble(uuid string) string {
	d, exists := l.devices[uuid]
	fault := l.fault(d)
	switch {
	case !exists && l.faults[uuid] != "":
		return fmt.Sprintf("%s failed: %s", uuid, l.faults[uuid])
	case !exists:
		return fmt.Sprintf("%s is not found on the host any more", uuid)
	case fault != "":
		return fmt.Sprintf("%s (%s) failed: %s", uuid, d.Name, fault)
	}
	return ""
}

// blocked tells what keeps a device from being given out, apart from pods.
func (l *Ledger) blocked(d Device) State {
	switch {
	case l.fault(d) != "":
		return StateUnhealthy
	case l.aside[d.UUID] != "" || l.aside[physical(d)] != "" || len(l.unknown) > 0:
		return StateAside
	case len(l.foreignUses(d)) > 0:
		return StateForeign
	}
	return StateFree
}

// state of a device for administrators: a pod that holds it counts before all else.
func (l *Ledger) state(d Device) State {
	switch {
	case len(l.holders[d.UUID]) > 0:
		return StateHeld
	case l.blocked(d) == StateFree && d.Resource == "":
		return StatePartitioned
	}
	return l.blocked(d)
}

func (l *Ledger) unitState(d Device, unit string) State {
	if len(l.rivals(d, unit)) > 0 {
		return StateHeld
	}
	return l.blocked(d)
}

// fault is the device's own fault or that of the GPU that it is a part of.
func (l *Ledger) fault(d Device) string {
	if f := l.faults[d.UUID]; f != "" {
		return f
	}
	return l.faults[physical(d)]
}

// foreignUses counts the uses of a MIG instance, and of its GPU as a whole where
// the driver does not tell the instance.
func (l *Ledger) foreignUses(d Device) []string {
	var uses []string
	for _, found := range l.foreign {
		for _, uuid := range []string{d.UUID, physical(d)} {
			if use := found[uuid]; use != "" && !slices.Contains(uses, use) {
				uses = append(uses, use)
			}
		}
	}
	slices.Sort(uses)
	return uses
}

// reasons are why a device is not given out, in sentences for administrators.
func (l *Ledger) reasons(d Device) []string {
	var reasons []string
	if f := l.fault(d); f != "" {
		reasons = append(reasons, f)
	}
	for _, uuid := range []string{d.UUID, physical(d)} {
		if a := l.aside[uuid]; a != "" && !slices.Contains(reasons, a) {
			reasons = append(reasons, a)
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(l.unknown)) {
		reasons = append(reasons, "pod "+owner+" may hold it: its record cannot be read, delete the pod")
	}
	for unit, owners := range l.holders[d.UUID] {
		if len(owners) > 1 {
			reasons = append(reasons, fmt.Sprintf("%s is claimed by pods %s", unit, strings.Join(owners, " and ")))
		}
	}
	return append(reasons, l.foreignUses(d)...)
}

// holdersOf lists the owners of a device or of any replica of it.
func (l *Ledger) holdersOf(uuid string) []string {
	var owners []string
	for _, list := range l.holders[uuid] {
		owners = append(owners, list...)
	}
	slices.Sort(owners)
	return slices.Compact(owners)
}

// instancesOf are the MIG instances of a GPU.
func (l *Ledger) instancesOf(uuid string) []Device {
	var list []Device
	for _, d := range l.devices {
		if d.ParentUUID == uuid {
			list = append(list, d)
		}
	}
	return list
}
