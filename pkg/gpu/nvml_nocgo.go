//go:build !cgo

package gpu

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// OpenNVML fails: this program was built without cgo, which NVML needs. The
// error has ErrNoDriver in its chain.
func OpenNVML(NVMLOptions) (Discoverer, error) {
	return nil, fmt.Errorf("this build has no NVIDIA support; use the one built with CGO_ENABLED=1, or set GPUENABLED=0: %w: %w",
		ErrNoDriver, errdefs.ErrNotImplemented)
}
