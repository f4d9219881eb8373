package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// ErrNoDriver is in the chain of errors that mean that a host has no usable
// driver for a vendor's devices: a caller may go on without such devices.
var ErrNoDriver = errors.New("no usable accelerator driver")

// Discoverer is the driver of a vendor's devices, as the Monitor needs it. A vendor is
// added by an implementation of this interface.
type Discoverer interface {
	// Inventory lists the devices as they are now.
	Inventory(ctx context.Context) (gpu.Inventory, error)
	// Processes lists the processes that use the devices now, with their process
	// ids as the host sees them.
	Processes(ctx context.Context) ([]Process, error)
	// Watch reports events until ctx ends, and then returns nil. An error means
	// that nothing is watched any more.
	Watch(ctx context.Context, report func(Event)) error
	// Probe returns nil if the device answers and is fit for use.
	Probe(ctx context.Context, uuid string) error
	// Close lets go of the driver, after Watch has returned.
	Close() error
}

// Process is a process that uses a device.
type Process struct {
	PID  int
	UUID string
}

// EventKind tells what a device reported.
type EventKind string

// The kinds of events.
const (
	// EventXID is an error that NVIDIA's driver numbers; see Event.XID.
	EventXID EventKind = "xid"
	// EventMemory is a memory error that ECC could not correct.
	EventMemory EventKind = "uncorrectable memory error"
	// EventUnavailable says that the device is lost, or waits for a reset.
	EventUnavailable EventKind = "device unavailable"
	// EventUnwatched says that the device can report no events because of Detail.
	EventUnwatched EventKind = "events cannot be watched"
	// EventDoubt says that watching failed and the device needs a probe.
	EventDoubt EventKind = "state in doubt"
)

// Event is something that happened to a device.
type Event struct {
	// UUID is empty if the event concerns a device that could not be told.
	UUID   string
	Kind   EventKind
	XID    uint64
	Detail string
}

// Combine makes one Discoverer of several, one for each vendor. A part that
// fails makes the whole inventory fail, lest its devices seem lost.
func Combine(parts ...Discoverer) Discoverer { return combined(parts) }

// combined is the Discoverer that Combine makes.
type combined []Discoverer

// Inventory is that of all parts, or an error if one part has none.
func (c combined) Inventory(ctx context.Context) (gpu.Inventory, error) {
	var all gpu.Inventory
	for _, part := range c {
		inv, err := part.Inventory(ctx)
		if err != nil {
			return gpu.Inventory{}, err
		}
		all.Devices = append(all.Devices, inv.Devices...)
		all.Topology.Merge(inv.Topology)
		all.Drivers = append(all.Drivers, inv.Drivers...)
		all.Resources = append(all.Resources, inv.Resources...)
		all.Skipped = append(all.Skipped, inv.Skipped...)
	}
	return all, nil
}

// Processes are those on the devices of all parts.
func (c combined) Processes(ctx context.Context) ([]Process, error) {
	var all []Process
	for _, part := range c {
		list, err := part.Processes(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// Watch runs the watches of all parts and reports one event at a time. A part
// that fails ends the others, so that the caller can begin anew with all of them.
func (c combined) Watch(ctx context.Context, report func(Event)) error {
	var reporting sync.Mutex
	one := func(e Event) {
		reporting.Lock()
		defer reporting.Unlock()
		report(e)
	}
	parts, ctx := errgroup.WithContext(ctx)
	for _, part := range c {
		parts.Go(func() error { return part.Watch(ctx, one) })
	}
	return parts.Wait()
}

// Probe asks the part that has the device. A device that no part has is an error.
func (c combined) Probe(ctx context.Context, uuid string) error {
	for _, part := range c {
		inv, err := part.Inventory(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(inv.Devices, func(d gpu.Device) bool { return d.UUID == uuid }) {
			return part.Probe(ctx, uuid)
		}
	}
	return fmt.Errorf("probing %s: no driver of this host knows the device", uuid)
}

// Close closes all parts, also after one that fails.
func (c combined) Close() error {
	var errs []error
	for _, part := range c {
		errs = append(errs, part.Close())
	}
	return errors.Join(errs...)
}
