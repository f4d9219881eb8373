package hostnet

import (
	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"
)

// UplinkMTU is the largest packet, in bytes, that goes out by every default route of this
// machine; 0 if there is none or its interface is not known.
func UplinkMTU() int { return uplinkMTU("/proc", "/sys") }

// uplinkMTU is UplinkMTU of a machine whose kernel shows itself at these folders.
func uplinkMTU(proc, sys string) int {
	kernel, err := procfs.NewFS(proc)
	if err != nil {
		return 0
	}
	routes, err := kernel.NetRoute()
	if err != nil {
		return 0
	}
	devices, err := sysfs.NewFS(sys)
	if err != nil {
		return 0
	}
	least := 0
	for _, route := range routes {
		if route.Mask != 0 || route.Destination != 0 {
			continue
		}
		device, err := devices.NetClassByIface(route.Iface)
		if err != nil || device.MTU == nil {
			continue
		}
		if mtu := int(*device.MTU); least == 0 || mtu < least {
			least = mtu
		}
	}
	return least
}
