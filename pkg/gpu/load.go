package gpu

import "slices"

// Load is what a device does at one moment, as its driver tells it.
type Load struct {
	UUID string `json:"uuid"`
	// Utilization is the share of the last moment in which the device worked, in percent;
	// nil where the driver does not tell it, as of a MIG instance.
	Utilization *uint32 `json:"utilization,omitempty"`
	// MemoryUsedBytes of MemoryTotalBytes are in use; both are 0 where the driver does not
	// tell them.
	MemoryUsedBytes  uint64 `json:"memoryUsedBytes"`
	MemoryTotalBytes uint64 `json:"memoryTotalBytes"`
}

// Held is what a pod holds; nothing, for one that holds nothing.
func (l *Ledger) Held(owner string) Assignment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holdings.assigned[owner].clone()
}

// Devices lists the devices of all containers, each once, in order.
func (a Assignment) Devices() []string {
	var out []string
	for name := range a.Containers {
		out = append(out, a.UUIDs(name)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
