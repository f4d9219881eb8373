// Package machine has facts of this host that docker-sd and its check need: devices, programs,
// groups, mounts and what its kernel can do.
package machine

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Has says whether the host has a device of its kernel, such as /dev/fuse. A docker-sd in
// a container has few devices, but sees in sysfs which ones the kernel has. A host whose
// module is not loaded yet may have the file already, which loads it.
func Has(device string) bool {
	return isDevice(device) || knownToKernel("/sys", filepath.Base(device))
}

func isDevice(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// knownToKernel looks for a device among those that are of no class of their own.
func knownToKernel(sysfs, name string) bool {
	_, err := os.Stat(filepath.Join(sysfs, "class/misc", name, "dev"))
	return err == nil
}

// Tun says why sandboxes cannot have the device of tunnels, nil if they can.
func Tun() error {
	if !Has(initapi.TunnelDevice) {
		return fmt.Errorf("the host has no %s; load the kernel's module tun", initapi.TunnelDevice)
	}
	return nil
}
