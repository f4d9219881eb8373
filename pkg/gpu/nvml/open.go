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

// Options say where to find what belongs to NVIDIA's driver.
type Options struct {
	// LibraryPath is a path of the library, or empty for libnvidia-ml.so.1 where
	// the dynamic linker finds it.
	LibraryPath string
	// SysfsRoot is where sysfs is mounted, or empty for /sys.
	SysfsRoot string
}

// library names the library for messages.
func (o Options) library() string {
	if o.LibraryPath == "" {
		return "libnvidia-ml.so.1"
	}
	return o.LibraryPath
}

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
