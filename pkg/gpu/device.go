// Package gpu knows the accelerators of the host: which exist, how they are
// connected, and who holds them.
//
// Every device is keyed by its UUID, never by its index: indexes change when a
// device is lost, when MIG is reconfigured and across reboots.
package gpu

import (
	"cmp"
	"slices"
	"strings"
)

// Resource names as the vendors' Kubernetes device plugins publish them.
const (
	// ResourceGPU is a whole NVIDIA GPU.
	ResourceGPU = "nvidia.com/gpu"
	// ResourceMIGPrefix precedes the profile of a MIG instance, for example
	// nvidia.com/mig-1g.10gb.
	ResourceMIGPrefix = "nvidia.com/mig-"
	// ResourceFPGA is a Xilinx FPGA.
	ResourceFPGA = "xilinx.com/fpga"
)

// UnknownNUMANode is the NUMANode of a device whose node the kernel does not tell.
const UnknownNUMANode = -1

// Device is one accelerator, or one MIG instance of one.
type Device struct {
	// UUID identifies the device, for example GPU-8f6... or MIG-41c.... A device
	// whose vendor gives none is identified by the path of its device node.
	UUID string `json:"uuid"`
	// Resource is the Kubernetes name under which the device is given out. It is
	// empty for a GPU in MIG mode, of which only the instances are given out.
	Resource string `json:"resource,omitempty"`
	// Index and Minor are for display and for device node names; Minor is the N
	// of /dev/nvidiaN.
	Index int    `json:"index"`
	Minor int    `json:"minor"`
	Name  string `json:"name"`
	// MemoryBytes is 0 where unknown.
	MemoryBytes uint64 `json:"memoryBytes,omitempty"`
	// PCIBusID is in the kernel's form, for example 0000:07:00.0.
	PCIBusID string `json:"pciBusID,omitempty"`
	// NUMANode is UnknownNUMANode where the kernel does not tell.
	NUMANode int `json:"numaNode"`
	// Nodes are the paths of the device nodes of this device, without those that
	// all devices of the vendor share.
	Nodes []string `json:"nodes,omitempty"`

	// ParentUUID, Profile and the two instance ids are set for MIG instances only.
	ParentUUID        string `json:"parentUUID,omitempty"`
	Profile           string `json:"profile,omitempty"`
	GPUInstanceID     int    `json:"gpuInstanceID,omitempty"`
	ComputeInstanceID int    `json:"computeInstanceID,omitempty"`
}

// Vendor is the domain of the device's resource name, for example nvidia.com.
func (d Device) Vendor() string {
	vendor, _, _ := strings.Cut(d.Resource, "/")
	return vendor
}

// IsMIG tells whether the device is an instance of a partitioned GPU.
func (d Device) IsMIG() bool { return d.ParentUUID != "" }

// Devices is a set of devices by UUID.
type Devices map[string]Device

// NewDevices makes a set.
func NewDevices(list ...Device) Devices {
	set := make(Devices, len(list))
	for _, d := range list {
		set[d.UUID] = d
	}
	return set
}

// Contains tells whether every one of the UUIDs is in the set.
func (s Devices) Contains(uuids ...string) bool {
	for _, u := range uuids {
		if _, ok := s[u]; !ok {
			return false
		}
	}
	return true
}

// Difference returns the devices of s whose UUIDs are not in other.
func (s Devices) Difference(other Devices) Devices {
	left := make(Devices)
	for u, d := range s {
		if !other.Contains(u) {
			left[u] = d
		}
	}
	return left
}

// List returns the devices ordered by PCI bus id, then by MIG instance, then by
// UUID, which is the order that administrators know from nvidia-smi.
func (s Devices) List() []Device {
	list := make([]Device, 0, len(s))
	for _, d := range s {
		list = append(list, d)
	}
	slices.SortFunc(list, byPlace)
	return list
}

// UUIDs returns the UUIDs in the order of List.
func (s Devices) UUIDs() []string {
	uuids := make([]string, 0, len(s))
	for _, d := range s.List() {
		uuids = append(uuids, d.UUID)
	}
	return uuids
}

// instancesOf are the MIG instances of a GPU.
func (s Devices) instancesOf(uuid string) []Device {
	var list []Device
	for _, d := range s {
		if d.ParentUUID == uuid {
			list = append(list, d)
		}
	}
	return list
}

// byPlace orders devices as the host does: by bus id, then by instance.
func byPlace(a, b Device) int {
	return cmp.Or(
		cmp.Compare(a.PCIBusID, b.PCIBusID),
		cmp.Compare(a.GPUInstanceID, b.GPUInstanceID),
		cmp.Compare(a.ComputeInstanceID, b.ComputeInstanceID),
		cmp.Compare(a.UUID, b.UUID),
	)
}
