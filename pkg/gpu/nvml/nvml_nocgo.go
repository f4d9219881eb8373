//go:build !cgo

package nvml

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
)

// Open fails: this program was built without cgo, which NVML needs. The error has
// monitor.ErrNoDriver in its chain.
func Open(Options) (monitor.Discoverer, error) {
	return nil, fmt.Errorf("this build has no NVIDIA support; use the one built with CGO_ENABLED=1, or set GPUENABLED=0: %w: %w",
		monitor.ErrNoDriver, errdefs.ErrNotImplemented)
}
