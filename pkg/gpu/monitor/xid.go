package monitor

import "fmt"

// applicationXIDs are faults of the program that runs on a GPU, not of the GPU.
// The list is that of NVIDIA's device plugin.
var applicationXIDs = []uint64{
	13,  // graphics engine exception
	31,  // GPU memory page fault
	43,  // GPU stopped processing
	45,  // preemptive cleanup, due to previous errors
	68,  // video processor exception
	109, // context switch timeout
}

// XIDs is a set of XID errors of NVIDIA's driver.
type XIDs map[uint64]bool

// IgnoredXIDs are those that say nothing about the GPU: the known application
// errors and those in ignored, without those in critical.
func IgnoredXIDs(ignored, critical []uint64) XIDs {
	set := make(XIDs)
	for _, x := range applicationXIDs {
		set[x] = true
	}
	for _, x := range ignored {
		set[x] = true
	}
	for _, x := range critical {
		delete(set, x)
	}
	return set
}

// knownXIDs explains the errors that operators meet most, in a few words.
var knownXIDs = map[uint64]string{
	48: "uncorrectable memory error",
	61: "internal microcontroller breakpoint",
	62: "internal microcontroller halt",
	63: "memory page retired",
	64: "memory page could not be retired",
	74: "NVLink error",
	79: "GPU has fallen off the bus",
	92: "many correctable memory errors",
	94: "contained memory error",
	95: "uncontained memory error",
}

// reason says what an event means for the device, for people.
func (e Event) reason() string {
	text := string(e.Kind)
	if e.Kind == EventXID {
		text = fmt.Sprintf("XID %d", e.XID)
		if known := knownXIDs[e.XID]; known != "" {
			text += " (" + known + ")"
		}
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}
