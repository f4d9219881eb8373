package gpu

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// holdings know which owner holds which unit of which device. They know nothing else of
// devices: a device may be lost while it is held.
type holdings struct {
	assigned map[string]Assignment
	// owners are by UUID and unit. More than one owner of a unit is a conflict found at
	// recovery: the device is free again when all have let go.
	owners map[string]map[string][]string
	// unknown are owners that may hold any device: nothing is given out meanwhile.
	unknown map[string]bool
}

// newHoldings are those of a host whose devices are all free.
func newHoldings() holdings {
	return holdings{assigned: make(map[string]Assignment), owners: make(map[string]map[string][]string), unknown: make(map[string]bool)}
}

// take enters what an owner holds from now on.
func (h holdings) take(owner string, a Assignment) {
	h.assigned[owner] = a
	for _, unit := range a.units() {
		uuid := unitUUID(unit)
		if h.owners[uuid] == nil {
			h.owners[uuid] = make(map[string][]string)
		}
		h.owners[uuid][unit] = append(h.owners[uuid][unit], owner)
	}
}

// drop removes all that an owner holds.
func (h holdings) drop(owner string) {
	for _, unit := range h.assigned[owner].units() {
		uuid := unitUUID(unit)
		left := without(h.owners[uuid][unit], []string{owner})
		if len(left) > 0 {
			h.owners[uuid][unit] = left
			continue
		}
		delete(h.owners[uuid], unit)
		if len(h.owners[uuid]) == 0 {
			delete(h.owners, uuid)
		}
	}
	delete(h.assigned, owner)
	delete(h.unknown, owner)
}

// of lists the owners of a device or of any replica of it, sorted.
func (h holdings) of(uuid string) []string {
	var owners []string
	for _, list := range h.owners[uuid] {
		owners = append(owners, list...)
	}
	slices.Sort(owners)
	return slices.Compact(owners)
}

// excluding lists the owners of the unit, and of what of the same device cannot be held
// beside it: a whole device excludes its replicas.
func (h holdings) excluding(unit string) []string {
	var owners []string
	uuid := unitUUID(unit)
	for held, list := range h.owners[uuid] {
		if held == unit || held == uuid || unit == uuid {
			owners = append(owners, list...)
		}
	}
	return owners
}

// users counts the units of a device that are held.
func (h holdings) users(uuid string) int { return len(h.owners[uuid]) }

// doubts are sentences for administrators on who may hold a device beside its owner.
func (h holdings) doubts(uuid string) []string {
	var doubts []string
	for _, owner := range slices.Sorted(maps.Keys(h.unknown)) {
		doubts = append(doubts, "pod "+owner+" may hold it: its record cannot be read, delete the pod")
	}
	for unit, owners := range h.owners[uuid] {
		if len(owners) > 1 {
			doubts = append(doubts, fmt.Sprintf("%s is claimed by pods %s", unit, strings.Join(owners, " and ")))
		}
	}
	return doubts
}
