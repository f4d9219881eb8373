// Package sysfs discovers accelerators that need no driver library: it reads what the kernel
// shows of PCI devices in sysfs.
package sysfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
)

// VendorXilinx is the PCI vendor id, as sysfs writes it.
const VendorXilinx = "0x10ee"

// RenderNodes discovers accelerators that the kernel offers as render nodes,
// /dev/dri/renderD*, by scanning sysfs. They are identified by the path of that
// node, which holds as long as the host is not rebooted. It serves Xilinx FPGAs,
// and any other vendor's devices that need nothing but device nodes.
type RenderNodes struct {
	// Resource is the name under which the devices are given out.
	Resource string
	// Vendor is the PCI vendor id, for example 0x10ee.
	Vendor string
	// Shared are device nodes that every container with a device needs, for
	// example /dev/kfd for AMD GPUs.
	Shared []string
	// SysfsRoot and DevRoot are where sysfs and the device nodes are; empty for
	// /sys and /dev. Device paths are those below /dev all the same.
	SysfsRoot, DevRoot string
}

var _ monitor.Discoverer = RenderNodes{}

// FPGAs discovers Xilinx FPGAs. The management function of a card has no render
// node and is not found.
func FPGAs(sysfsRoot, devRoot string) RenderNodes {
	return RenderNodes{Resource: gpu.ResourceFPGA, Vendor: VendorXilinx, SysfsRoot: sysfsRoot, DevRoot: devRoot}
}

// Inventory scans the PCI devices of the vendor. A device whose node does not
// exist is skipped: its driver is not ready.
func (r RenderNodes) Inventory(ctx context.Context) (gpu.Inventory, error) {
	inv := gpu.Inventory{Resources: []string{r.Resource}}
	root := filepath.Join(rootOr(r.SysfsRoot), "bus/pci/devices")
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return gpu.Inventory{}, fmt.Errorf("looking for %s: %w", r.Resource, err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return gpu.Inventory{}, err
		}
		dir := filepath.Join(root, e.Name())
		if text(filepath.Join(dir, "vendor")) != r.Vendor {
			continue
		}
		nodes, err := filepath.Glob(filepath.Join(dir, "drm", "renderD*"))
		if err != nil {
			return gpu.Inventory{}, fmt.Errorf("looking for %s: %w", r.Resource, err)
		}
		for _, node := range nodes {
			path := "/dev/dri/" + filepath.Base(node)
			if err := r.exists(path); err != nil {
				inv.Skipped = append(inv.Skipped, err.Error())
				continue
			}
			inv.Devices = append(inv.Devices, gpu.Device{
				UUID: path, Resource: r.Resource, Index: len(inv.Devices), Name: r.name(dir),
				PCIBusID: e.Name(), NUMANode: NUMANode(r.SysfsRoot, e.Name()), Nodes: append([]string{path}, r.Shared...),
			})
		}
	}
	return inv, nil
}

// name is the PCI device id, which is all that the kernel tells about a card.
func (r RenderNodes) name(dir string) string {
	return strings.TrimSpace("PCI device " + text(filepath.Join(dir, "device")))
}

// Processes is empty: no driver tells who uses a render node.
func (RenderNodes) Processes(context.Context) ([]monitor.Process, error) { return nil, nil }

// Watch waits for the end of ctx: these devices report no events. That one is
// gone shows in the inventory.
func (RenderNodes) Watch(ctx context.Context, _ func(monitor.Event)) error {
	<-ctx.Done()
	return nil
}

// Probe looks for the device node.
func (r RenderNodes) Probe(_ context.Context, uuid string) error { return r.exists(uuid) }

// Close does nothing.
func (RenderNodes) Close() error { return nil }

// exists is an error for a device node that is not below DevRoot.
func (r RenderNodes) exists(path string) error {
	dev := r.DevRoot
	if dev == "" {
		dev = "/dev"
	}
	if _, err := os.Stat(filepath.Join(dev, strings.TrimPrefix(path, "/dev/"))); err != nil {
		return fmt.Errorf("%s: device node %s: %w: %w", r.Resource, path, err, errdefs.ErrNotFound)
	}
	return nil
}

// rootOr is where sysfs is mounted: /sys where nothing was set.
func rootOr(set string) string {
	if set == "" {
		return "/sys"
	}
	return set
}

// NUMANode reads the node of a PCI device. It is gpu.UnknownNUMANode for a device without
// a bus id, and where the kernel says -1 or nothing. The root is where sysfs is mounted;
// empty for /sys.
func NUMANode(root, busID string) int {
	if busID == "" {
		return gpu.UnknownNUMANode
	}
	node, err := strconv.Atoi(text(filepath.Join(rootOr(root), "bus/pci/devices", busID, "numa_node")))
	if err != nil || node < 0 {
		return gpu.UnknownNUMANode
	}
	return node
}

// text reads a file of sysfs, without space around; empty for one that cannot be read.
func text(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
