package gputest

import (
	"context"
	"errors"
	"sync"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
)

// Driver is a Discoverer whose host a test can change at any time, with Set where a Monitor
// runs.
type Driver struct {
	// Events are reported to Watch, which fails when they are closed.
	Events chan monitor.Event
	// Gate, if set, holds each Inventory back until it can be read from.
	Gate chan struct{}

	mu sync.Mutex
	// Host and Failure are what Inventory returns.
	Host    gpu.Inventory
	Failure error
	// Running is what Processes returns.
	Running []monitor.Process
	// Broken has the errors of Probe, by UUID. Probing, if set, is called in each.
	Broken  map[string]error
	Probing func()
	// Watches counts the calls of Watch.
	Watches int
}

var _ monitor.Discoverer = &Driver{}

// NewDriver is the driver of a host whose devices are all fit for use.
func NewDriver(inv gpu.Inventory) *Driver {
	return &Driver{Events: make(chan monitor.Event), Host: inv, Broken: make(map[string]error)}
}

// Set changes the driver, or looks at it, while no call of it runs.
func (d *Driver) Set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// Inventory is the host as it is now, or Failure.
func (d *Driver) Inventory(context.Context) (gpu.Inventory, error) {
	if d.Gate != nil {
		<-d.Gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Host, d.Failure
}

// Processes are those that run now.
func (d *Driver) Processes(context.Context) ([]monitor.Process, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Running, nil
}

// Watch reports Events until ctx ends. Closed events are an error.
func (d *Driver) Watch(ctx context.Context, report func(monitor.Event)) error {
	d.Set(func() { d.Watches++ })
	for {
		select {
		case e, open := <-d.Events:
			if !open {
				return errors.New("watching broke")
			}
			report(e)
		case <-ctx.Done():
			return nil
		}
	}
}

// Probe is the device's error in Broken.
func (d *Driver) Probe(_ context.Context, uuid string) error {
	d.mu.Lock()
	probing, err := d.Probing, d.Broken[uuid]
	d.mu.Unlock()
	if probing != nil {
		probing()
	}
	return err
}

// Close does nothing.
func (*Driver) Close() error { return nil }
