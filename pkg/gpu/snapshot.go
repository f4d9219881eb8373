package gpu

import (
	"fmt"
	"slices"
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
	Drivers []Driver      `json:"drivers,omitempty"`
	Devices []DeviceState `json:"devices,omitempty"`
	// Totals are those of Ledger.Totals. Free counts the units that could be given out now, by
	// resource name.
	Totals map[string]int64 `json:"totals,omitempty"`
	Free   map[string]int64 `json:"free,omitempty"`
}

// Snapshot copies what the ledger knows, for administrators.
func (l *Ledger) Snapshot() Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{Drivers: slices.Clone(l.drivers), Totals: l.totals(), Free: make(map[string]int64)}
	for resource := range s.Totals {
		s.Free[resource] = int64(len(l.offer(resource).free))
	}
	for _, d := range l.devices.List() {
		s.Devices = append(s.Devices, DeviceState{
			Device: d, State: l.state(d), Offered: l.sharing.Offered(d.Resource),
			Holders: l.holdings.of(d.UUID), Reasons: l.reasons(d),
		})
	}
	for uuid := range l.holdings.owners {
		if !l.devices.Contains(uuid) {
			d := Device{UUID: uuid, NUMANode: UnknownNUMANode}
			s.Devices = append(s.Devices, DeviceState{Device: d, State: StateLost, Holders: l.holdings.of(uuid), Reasons: l.reasons(d)})
		}
	}
	slices.SortFunc(s.Devices, func(a, b DeviceState) int { return byPlace(a.Device, b.Device) })
	return s
}

// Totals counts what the host can offer by resource name, held or not: healthy
// devices without foreign use, times their replicas. These are the numbers for
// the ping, where the scheduler subtracts what pods hold (protocol 2.4). A name
// that was offered once stays, with zero.
func (l *Ledger) Totals() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals()
}

// totals counts the units that are offered, by the name under which they are published.
func (l *Ledger) totals() map[string]int64 {
	totals := make(map[string]int64, len(l.resources))
	for name := range l.resources {
		totals[name] = 0
	}
	for _, d := range l.devices {
		if d.Resource == "" {
			continue
		}
		obstacle := l.obstacle(d)
		// The pod that holds a device counts against the total, so a device that it
		// shares with a stranger has to stay in.
		if obstacle == StateFree || (obstacle == StateForeign && l.holdings.users(d.UUID) > 0) {
			totals[l.sharing.Offered(d.Resource)] += int64(len(l.sharing.units(d)))
		}
	}
	return totals
}

// DeviceHealth is how a device is that a pod holds.
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
	for _, uuid := range l.holdings.assigned[owner].UUIDs(container) {
		h := DeviceHealth{UUID: uuid, Trouble: l.trouble(uuid)}
		if d, exists := l.devices[uuid]; exists {
			h.Offered = l.sharing.Offered(d.Resource)
		}
		list = append(list, h)
	}
	return list
}

// trouble is a sentence on what is wrong with a device; empty if it is well.
func (l *Ledger) trouble(uuid string) string {
	d, exists := l.devices[uuid]
	if !exists {
		d.UUID = uuid
	}
	fault := l.obstacles.fault(d)
	switch {
	case !exists && fault != "":
		return fmt.Sprintf("%s failed: %s", uuid, fault)
	case !exists:
		return fmt.Sprintf("%s is not found on the host any more", uuid)
	case fault != "":
		return fmt.Sprintf("%s (%s) failed: %s", uuid, d.Name, fault)
	}
	return ""
}

// state of a device for administrators: a pod that holds it counts before all else.
func (l *Ledger) state(d Device) State {
	obstacle := l.obstacle(d)
	switch {
	case l.holdings.users(d.UUID) > 0:
		return StateHeld
	case obstacle == StateFree && d.Resource == "":
		return StatePartitioned
	}
	return obstacle
}

// reasons are why a device is not given out, in sentences for administrators.
func (l *Ledger) reasons(d Device) []string {
	var reasons []string
	if f := l.obstacles.fault(d); f != "" {
		reasons = append(reasons, f)
	}
	for _, cordon := range l.obstacles.cordons.of(d) {
		if !slices.Contains(reasons, cordon) {
			reasons = append(reasons, cordon)
		}
	}
	return slices.Concat(reasons, l.holdings.doubts(d.UUID), l.obstacles.foreignUses(d))
}
