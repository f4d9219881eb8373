package gpu

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Assignment is what a pod holds. It is kept in the pod's record as JSON.
type Assignment struct {
	// Containers lists by container name the UUIDs of its devices; a replica of a
	// shared device has its number after the UUID. Init containers list devices
	// that main containers hold too. Containers without devices are left out.
	Containers map[string][]string `json:"containers,omitempty"`
}

// ParseAssignment reads what a pod holds from its record. No JSON is an empty assignment; JSON
// that cannot be read is an error.
func ParseAssignment(held json.RawMessage) (Assignment, error) {
	var assignment Assignment
	if len(held) == 0 {
		return assignment, nil
	}
	if err := json.Unmarshal(held, &assignment); err != nil {
		return assignment, fmt.Errorf("the record of a pod's devices is damaged: %w", err)
	}
	return assignment, nil
}

// Empty tells whether the assignment holds nothing.
func (a Assignment) Empty() bool { return len(a.units()) == 0 }

// UUIDs lists the devices of one container, each once.
func (a Assignment) UUIDs(container string) []string {
	var uuids []string
	for _, unit := range a.Containers[container] {
		if u := unitUUID(unit); !slices.Contains(uuids, u) {
			uuids = append(uuids, u)
		}
	}
	return uuids
}

// units lists what the whole pod holds, each unit once, sorted.
func (a Assignment) units() []string {
	var units []string
	for _, list := range a.Containers {
		units = append(units, list...)
	}
	slices.Sort(units)
	return slices.Compact(units)
}

// clone is a copy that shares nothing with the assignment.
func (a Assignment) clone() Assignment {
	if a.Containers == nil {
		return Assignment{}
	}
	c := Assignment{Containers: make(map[string][]string, len(a.Containers))}
	for name, units := range a.Containers {
		c.Containers[name] = slices.Clone(units)
	}
	return c
}
