//go:build cgo

package nvml

import (
	"context"
	"errors"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// eventWait is how long NVML waits for an event before it answers NVML_TIMEOUT. Watch looks
// at its context, and for devices that came back, as often.
const eventWait = time.Second

// nvmlEvents are the events that say something about the health of a device.
const nvmlEvents = uint64(nvml.EventTypeXidCriticalError | nvml.EventTypeDoubleBitEccError |
	nvml.EventTypeFatalPoisonError | nvml.EventTypeDramRetirementFailure | nvml.EventTypeGpuUnavailableError)

// Watch registers every GPU with an event set and reports what arrives.
func (n *discoverer) Watch(ctx context.Context, report func(monitor.Event)) (err error) {
	set, ret := n.lib.EventSetCreate()
	if err := refuse("creating an event set", ret); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, refuse("freeing the event set", set.Free())) }()
	var registered map[string]bool
	for ctx.Err() == nil {
		registered = n.register(ctx, set, registered, report)
		data, ret := set.Wait(uint32(eventWait.Milliseconds()))
		switch ret {
		case nvml.SUCCESS:
			report(n.event(data))
		case nvml.ERROR_TIMEOUT:
		default:
			report(monitor.Event{Kind: monitor.EventDoubt, Detail: refuse("waiting for events", ret).Error()})
			_ = retry.Pause(ctx, eventWait) // the end of ctx ends the loop
		}
	}
	return nil
}

// register adds the GPUs that are not registered yet: all at first, later those
// that were away. It returns those that are registered now, by UUID. A GPU that knows no
// events is reported, and not tried again.
func (n *discoverer) register(ctx context.Context, set nvml.EventSet, registered map[string]bool, report func(monitor.Event)) map[string]bool {
	handles, _, err := n.handles(ctx)
	if err != nil {
		return registered
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
		supported, ret := handle.GetSupportedEventTypes()
		if ret == nvml.SUCCESS {
			ret = handle.RegisterEvents(supported&nvmlEvents, set)
		}
		if err := refuse("registering for events of "+uuid, ret); err != nil {
			report(monitor.Event{UUID: uuid, Kind: monitor.EventUnwatched, Detail: err.Error()})
		}
	}
	return present
}

// event says which device an event is about: the GPU, one of its MIG instances,
// or, if the device does not answer, an unknown one.
func (n *discoverer) event(data nvml.EventData) monitor.Event {
	e := monitor.Event{Kind: monitor.EventUnavailable}
	switch data.EventType {
	case nvml.EventTypeXidCriticalError:
		e.Kind, e.XID = monitor.EventXID, data.EventData
	case nvml.EventTypeDoubleBitEccError, nvml.EventTypeFatalPoisonError, nvml.EventTypeDramRetirementFailure:
		e.Kind = monitor.EventMemory
	}
	g, _, err := n.describe(data.Device)
	if err != nil {
		e.Detail = err.Error()
		return e
	}
	e.UUID = instanceUUID(g.UUID, g.instances, data.GpuInstanceId, data.ComputeInstanceId)
	return e
}
