package monitor

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// Null is a Discoverer of a host without devices.
type Null struct {
	// Resources are reported as zero. Leave it empty where accelerators are
	// switched off: what was never asked about is unknown, not zero (protocol 2.4).
	Resources []string
}

var _ Discoverer = Null{}

// Inventory has no devices.
func (n Null) Inventory(context.Context) (gpu.Inventory, error) {
	return gpu.Inventory{Resources: n.Resources}, nil
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
