//go:build cgo

package gpu

import (
	"context"
	"errors"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Watch registers every GPU with an event set and reports what arrives.
func (n *nvmlDiscoverer) Watch(ctx context.Context, report func(Event)) (err error) {
	set, ret := n.lib.EventSetCreate()
	if err := refuse("creating an event set", ret); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, refuse("freeing the event set", set.Free())) }()
	registered := make(map[string]bool)
	for ctx.Err() == nil {
		n.register(ctx, set, registered, report)
		data, ret := set.Wait(uint32(eventWait.Milliseconds()))
		switch ret {
		case nvml.SUCCESS:
			report(n.event(data))
		case nvml.ERROR_TIMEOUT:
		default:
			report(Event{Kind: EventDoubt, Detail: refuse("waiting for events", ret).Error()})
			pause(ctx, eventWait)
		}
	}
	return nil
}

// register adds the GPUs that are not registered yet: all at first, later those
// that were away. A GPU that knows no events is reported, and not tried again.
func (n *nvmlDiscoverer) register(ctx context.Context, set nvml.EventSet, registered map[string]bool, report func(Event)) {
	handles, _, err := n.handles(ctx)
	if err != nil {
		return
	}
	present := make(map[string]bool)
	for _, handle := range handles {
		uuid, ret := handle.GetUUID()
		if ret != nvml.SUCCESS {
			continue
		}
		present[uuid] = true
		if registered[uuid] {
			continue
		}
		registered[uuid] = true
		supported, ret := handle.GetSupportedEventTypes()
		if ret == nvml.SUCCESS {
			ret = handle.RegisterEvents(supported&nvmlEvents, set)
		}
		if err := refuse("registering for events of "+uuid, ret); err != nil {
			report(Event{UUID: uuid, Kind: EventUnwatched, Detail: err.Error()})
		}
	}
	for uuid := range registered {
		if !present[uuid] {
			delete(registered, uuid)
		}
	}
}

// event says which device an event is about: the GPU, one of its MIG instances,
// or, if the device does not answer, an unknown one.
func (n *nvmlDiscoverer) event(data nvml.EventData) Event {
	e := Event{Kind: EventUnavailable}
	switch data.EventType {
	case nvml.EventTypeXidCriticalError:
		e.Kind, e.XID = EventXID, data.EventData
	case nvml.EventTypeDoubleBitEccError, nvml.EventTypeFatalPoisonError, nvml.EventTypeDramRetirementFailure:
		e.Kind = EventMemory
	}
	gpu, err := n.describe(data.Device)
	if err != nil {
		e.Detail = err.Error()
		return e
	}
	e.UUID = gpu.UUID
	if n.partitioned(data.Device) {
		instances, _ := n.instances(data.Device, gpu)
		e.UUID = instanceUUID(gpu.UUID, instances, data.GpuInstanceId, data.ComputeInstanceId)
	}
	return e
}
