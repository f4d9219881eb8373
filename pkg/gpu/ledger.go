package gpu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// Ledger knows who holds which device. It does no I/O: what it knows is given to
// it by Update, Cordon, SetForeign and the Mark functions. It is safe for concurrent use:
// exported methods take the mutex, the others are called with the mutex held.
type Ledger struct {
	sharing Sharing

	mu       sync.Mutex
	devices  Devices
	topology Topology
	drivers  []Driver
	// resources keeps every name once offered: the node keeps it too, so it has to
	// be reported as zero when its last device goes (protocol 2.4).
	resources map[string]bool
	holdings  holdings
	obstacles obstacles
}

// NewLedger makes a ledger without devices. The sharing must be valid.
func NewLedger(sharing Sharing) *Ledger {
	return &Ledger{sharing: sharing, devices: make(Devices), resources: make(map[string]bool), holdings: newHoldings(), obstacles: newObstacles()}
}

// Changes is the difference between two inventories.
type Changes struct {
	Added, Lost []Device
}

// Update replaces the devices and their topology. Who holds what stays as it is,
// also for devices that are not found any more.
func (l *Ledger) Update(inv Inventory) Changes {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := NewDevices(inv.Devices...)
	changes := Changes{Added: now.Difference(l.devices).List(), Lost: l.devices.Difference(now).List()}
	l.devices, l.topology, l.drivers = now, inv.Topology, slices.Clone(inv.Drivers)
	for _, r := range inv.Resources {
		l.resources[l.sharing.Offered(r)] = true
	}
	for _, d := range inv.Devices {
		if d.Resource != "" {
			l.resources[l.sharing.Offered(d.Resource)] = true
		}
	}
	return changes
}

// Claim marks devices as taken, from the record of a pod that was found at
// start. The owner holds them in any case, so that nobody else gets them; the
// error then tells what is wrong: errdefs.ErrConflict if another pod holds a
// device too, which is set aside until both have let go, errdefs.ErrNotFound if a
// device does not exist (any more). A repeated claim changes nothing.
func (l *Ledger) Claim(owner string, a Assignment) error {
	if owner == "" {
		return fmt.Errorf("claiming accelerators: no owner given: %w", errdefs.ErrInvalidArgument)
	}
	if a.Empty() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holdings.drop(owner)
	var errs []error
	for _, unit := range a.units() {
		uuid := unitUUID(unit)
		d, exists := l.devices[uuid]
		if !exists {
			errs = append(errs, fmt.Errorf("%s, held by pod %s, is not on this host: %w", uuid, owner, errdefs.ErrNotFound))
			continue
		}
		if others := l.rivals(d, unit); len(others) > 0 {
			errs = append(errs, fmt.Errorf("%s is held by pod %s and by pod %s; it is set aside until both have ended: %w",
				uuid, owner, strings.Join(others, ", "), errdefs.ErrConflict))
		}
	}
	l.holdings.take(owner, a.clone())
	return errors.Join(errs...)
}

// ClaimUnknown notes that an owner, found at start, may hold any device, because what
// it holds cannot be read. No device is given out until it has let go.
func (l *Ledger) ClaimUnknown(owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holdings.unknown[owner] = true
}

// rivals lists who holds something that excludes the unit: the unit itself, the whole device
// of a replica or the reverse, the GPU of a MIG instance or the reverse.
func (l *Ledger) rivals(d Device, unit string) []string {
	others := l.holdings.excluding(unit)
	if d.IsMIG() {
		others = append(others, l.holdings.of(d.ParentUUID)...)
	}
	for _, instance := range l.devices.instancesOf(d.UUID) {
		others = append(others, l.holdings.of(instance.UUID)...)
	}
	slices.Sort(others)
	return slices.Compact(others)
}

// Release gives back all that an owner holds. An unknown owner is no error.
func (l *Ledger) Release(owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holdings.drop(owner)
}

// Cordon keeps devices from being given out, for a reason that administrators can read,
// until Uncordon. Devices that are not known yet are remembered.
func (l *Ledger) Cordon(uuids []string, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range uuids {
		l.obstacles.cordons[u] = reason
	}
}

// Uncordon ends Cordon.
func (l *Ledger) Uncordon(uuids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range uuids {
		delete(l.obstacles.cordons, u)
	}
}

// Use is the use of a device that the ledger did not hand out.
type Use struct {
	UUID string
	// Owner is the pod that uses the device, empty if it is none of ours. A use by
	// a pod that holds the device is no foreign use.
	Owner string
	// By tells who it is, for example "process 4711".
	By string
}

// SetForeign replaces all foreign uses that one source (for example processes,
// or containers of the host) has reported. A device in foreign use is not given
// out; a pod that holds it already keeps it.
func (l *Ledger) SetForeign(source string, uses []Use) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make(marks)
	for _, use := range uses {
		if use.Owner != "" && l.holdsPartOf(use.Owner, use.UUID) {
			continue
		}
		found[use.UUID] = "used by " + use.By
	}
	l.obstacles.foreign[source] = found
}

// holdsPartOf tells whether an owner holds a device or one of its instances, for
// drivers that tell only the GPU of a process.
func (l *Ledger) holdsPartOf(owner, uuid string) bool {
	if slices.Contains(l.holdings.of(uuid), owner) {
		return true
	}
	return slices.ContainsFunc(l.devices.instancesOf(uuid), func(d Device) bool {
		return slices.Contains(l.holdings.of(d.UUID), owner)
	})
}

// MarkUnhealthy takes a device out of use. Of a GPU, all MIG instances go too.
func (l *Ledger) MarkUnhealthy(uuid, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.obstacles.faults[uuid] = reason
}

// MarkHealthy ends MarkUnhealthy.
func (l *Ledger) MarkHealthy(uuid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.obstacles.faults, uuid)
}

// Devices returns the devices of one container of an assignment, in the order
// in which the host lists them. A device that the host does not have any more is
// errdefs.ErrNotFound.
func (l *Ledger) Devices(a Assignment, container string) ([]Device, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := make(Devices)
	for _, uuid := range a.UUIDs(container) {
		d, has := l.devices[uuid]
		if !has {
			return nil, fmt.Errorf("container %s: %s is not on this host any more: %w", container, uuid, errdefs.ErrNotFound)
		}
		set[uuid] = d
	}
	return set.List(), nil
}

// All returns every device of the host, the whole GPUs that are partitioned too.
func (l *Ledger) All() []Device {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.devices.List()
}
