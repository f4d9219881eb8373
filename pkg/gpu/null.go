package gpu

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
)

// OpenOrNone opens NVML as OpenNVML does. On a host without a usable driver it
// says so once in the log, and the host has zero GPUs. Call it only if GPUs are
// wanted: it loads the library.
func OpenOrNone(ctx context.Context, o NVMLOptions) (Discoverer, error) {
	d, err := OpenNVML(o)
	if errors.Is(err, ErrNoDriver) {
		log.G(ctx).WithError(err).Warn("Going on with zero NVIDIA GPUs")
		return Null{Resources: []string{ResourceGPU}}, nil
	}
	return d, err
}

// Null is a Discoverer of a host without devices.
type Null struct {
	// Resources are reported as zero. Leave it empty where accelerators are
	// switched off: what was never asked about is unknown, not zero (protocol 2.4).
	Resources []string
}

var _ Discoverer = Null{}

// Inventory has no devices.
func (n Null) Inventory(context.Context) (Inventory, error) {
	return Inventory{Resources: n.Resources}, nil
}

// Processes is empty.
func (Null) Processes(context.Context) ([]Process, error) { return nil, nil }

// Watch waits for the end of ctx.
func (Null) Watch(ctx context.Context, _ func(Event)) error {
	<-ctx.Done()
	return nil
}

// Probe knows no device: errdefs.ErrNotFound.
func (Null) Probe(_ context.Context, uuid string) error {
	return fmt.Errorf("probing %s: this host has no accelerators: %w", uuid, errdefs.ErrNotFound)
}

// Close does nothing.
func (Null) Close() error { return nil }
