// Package nvml discovers NVIDIA's GPUs and their MIG instances, and watches their health,
// by NVIDIA's management library (NVML). It is the only importer of the bindings of that
// library, which need cgo.
package nvml

import (
	"context"
	"errors"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
)

// OpenOrNone opens the library as Open does. On a host without a usable driver it
// says so once in the log, and the host has zero GPUs. Call it only if GPUs are
// wanted: it loads the library.
func OpenOrNone(ctx context.Context, o Options) (monitor.Discoverer, error) {
	d, err := Open(o)
	if errors.Is(err, monitor.ErrNoDriver) {
		log.G(ctx).WithError(err).Warn("Going on with zero NVIDIA GPUs")
		return monitor.Null{Resources: []string{gpu.ResourceGPU}}, nil
	}
	return d, err
}
