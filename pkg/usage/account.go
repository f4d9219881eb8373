package usage

import "time"

// Account adds up what one pod has used. It is kept on disk, so that it goes on after a
// restart of docker-sd: the counters of a control group go on meanwhile.
type Account struct {
	// Group names the control group of the pod's sandbox: the boot of the host, the sandbox,
	// and the number of the group.
	Group string `json:"group,omitempty"`
	// Base is the processor time that had been used in the sandbox when the pod came, Last
	// what was read last, in nanoseconds. Carried is what was used in sandboxes before it.
	Base    uint64 `json:"base,omitempty"`
	Last    uint64 `json:"last,omitempty"`
	Carried uint64 `json:"carried,omitempty"`
	// PeakBytes is the most memory that the kernel has counted for the pod's containers,
	// file pages included. PeakWorkingSetBytes is the largest working set of the whole pod that
	// was seen.
	PeakBytes           uint64 `json:"peakBytes,omitempty"`
	PeakWorkingSetBytes uint64 `json:"peakWorkingSetBytes,omitempty"`
	// BusySeconds is how long the pod's accelerators have worked.
	BusySeconds float64 `json:"busySeconds,omitempty"`
	// Placed is when the pod got its first sandbox.
	Placed time.Time `json:"placed,omitzero"`
}

// CPU is the processor time that the pod's containers have used.
func (a *Account) CPU() time.Duration { return time.Duration(a.Carried + a.Last - a.Base) }

// Begin notes that the pod has got a sandbox in which nothing of it has run yet, and what
// had been used there before.
func (a *Account) Begin(group string, cpu uint64) {
	if group != a.Group {
		a.move(group)
		a.Base, a.Last = cpu, cpu
	}
}

// Read notes what was read of the pod's containers. A group that is not the one before has
// been made anew, when the sandbox was started again, and counts from zero. A number that
// has fallen is that of a group which is being removed, part by part.
func (a *Account) Read(group string, cpu, peak uint64) {
	if group != a.Group {
		a.move(group)
	}
	a.Last, a.PeakBytes = max(a.Last, cpu), max(a.PeakBytes, peak)
}

// move carries over what was used in a sandbox that is not the pod's any more.
func (a *Account) move(group string) {
	a.Carried += a.Last - a.Base
	a.Base, a.Last, a.Group = 0, 0, group
}

// Ending is a pod at its end.
type Ending struct {
	UID       string
	Namespace string
	Name      string
	// Phase is the pod's last one, or deleting for one that was deleted while it ran.
	Phase   string
	Created time.Time
	// Age is the time since then by the kernel, whatever was done to the clock.
	Age time.Duration
}

// Bill is what a pod has used, as a line of the accounting file.
type Bill struct {
	// Node is the Instance of docker-sd.
	Node      string `json:"node"`
	UID       string `json:"uid"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     string `json:"phase"`
	// Created is when the pod was admitted, Started when it got its first sandbox, Ended when
	// its last container had ended or the pod was removed.
	Created time.Time  `json:"created"`
	Started *time.Time `json:"started,omitempty"`
	Ended   time.Time  `json:"ended"`
	// CPUSeconds is the processor time of the pod's containers, those included that were
	// restarted or were in sandboxes that were lost.
	CPUSeconds float64 `json:"cpuSeconds"`
	// PeakMemoryBytes and PeakWorkingSetBytes are those of Account.
	PeakMemoryBytes     uint64 `json:"peakMemoryBytes"`
	PeakWorkingSetBytes uint64 `json:"peakWorkingSetBytes"`
	// Devices are the accelerators that the pod held. DeviceSeconds is for how long, from the
	// pod's create to its end, times their number; DeviceBusySeconds is how long they worked.
	Devices           []string `json:"devices,omitempty"`
	DeviceSeconds     float64  `json:"gpuSeconds"`
	DeviceBusySeconds float64  `json:"gpuBusySeconds"`
}

// bill is that of a pod which ends now.
func (a *Account) bill(node string, e Ending, devices []string, now time.Time) Bill {
	b := Bill{Node: node, UID: e.UID, Namespace: e.Namespace, Name: e.Name, Phase: e.Phase, Created: e.Created.UTC(), Ended: now.UTC(),
		CPUSeconds: seconds(a.CPU()), PeakMemoryBytes: a.PeakBytes, PeakWorkingSetBytes: a.PeakWorkingSetBytes,
		Devices: devices, DeviceSeconds: seconds(e.Age * time.Duration(len(devices))), DeviceBusySeconds: seconds(time.Duration(a.BusySeconds * 1e9))}
	if !a.Placed.IsZero() {
		placed := a.Placed.UTC()
		b.Started = &placed
	}
	return b
}

// seconds are rounded to milliseconds, which is more than is measured.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
