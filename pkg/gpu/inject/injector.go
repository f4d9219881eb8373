// Package inject makes devices usable in containers: which device nodes, files, variables
// and names of the Container Device Interface (CDI) a sandbox and a container get.
package inject

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// Injector puts devices of all vendors into containers: NVIDIA's by a strategy,
// those of other vendors by their device nodes.
type Injector struct {
	// NVIDIA may be nil on a host without NVIDIA devices; to give one out is then
	// errdefs.ErrFailedPrecondition.
	NVIDIA  Strategy
	Sharing gpu.Sharing
	MPS     MPS
	// FPGATools are folders that containers with an FPGA get read-only, at the same
	// path as on the host.
	FPGATools []string
}

// Container returns what a container needs for exactly these devices, which may
// be none.
func (i Injector) Container(devices []gpu.Device) (Edits, error) {
	in, nvidia, err := i.inject(devices, Strategy.Container)
	if err != nil || len(nvidia) == 0 || i.Sharing.Strategy != gpu.SharingMPS {
		return in, err
	}
	if replicas := i.Sharing.Replicas(nvidia[0].Resource); replicas > 1 {
		in = in.merge(i.MPS.inject(nvidia, replicas))
	}
	return in, nil
}

// Sandbox returns what a sandbox needs so that its containers can have any of
// the devices.
func (i Injector) Sandbox(devices []gpu.Device) (Edits, error) {
	in, nvidia, err := i.inject(devices, Strategy.Sandbox)
	if err != nil || len(nvidia) == 0 || i.Sharing.Strategy != gpu.SharingMPS {
		return in, err
	}
	in.Mounts = union(in.Mounts, []Mount{{Source: i.MPS.PipeDir, Target: i.MPS.PipeDir}, {Source: i.MPS.ShmDir, Target: i.MPS.ShmDir}})
	return in, nil
}

// inject gives NVIDIA's devices by a method of the strategy, the others by their
// nodes, and tells which are NVIDIA's.
func (i Injector) inject(devices []gpu.Device, by func(Strategy, []gpu.Device) (Edits, error)) (Edits, []gpu.Device, error) {
	nvidia, others := byVendor(devices)
	in := i.plain(others)
	if len(nvidia) == 0 {
		return in.merge(Void()), nil, nil
	}
	if i.NVIDIA == nil {
		return Edits{}, nil, errNoStrategy()
	}
	own, err := by(i.NVIDIA, nvidia)
	if err != nil {
		return Edits{}, nil, err
	}
	return in.merge(own), nvidia, nil
}

// errNoStrategy says that no strategy for NVIDIA's devices was chosen: it is
// errdefs.ErrFailedPrecondition.
func errNoStrategy() error {
	return fmt.Errorf("no strategy for NVIDIA devices was settled, so none can be given to a container; set one of %s, %s or %s: %w",
		StrategyDevices, StrategyCDI, StrategyRuntime, errdefs.ErrFailedPrecondition)
}

// byVendor tells NVIDIA's devices from others. A GPU in MIG mode has no resource
// and is left out: its instances bring all that it has.
func byVendor(devices []gpu.Device) (nvidia, others []gpu.Device) {
	for _, d := range devices {
		switch d.Vendor() {
		case "nvidia.com":
			nvidia = append(nvidia, d)
		case "":
		default:
			others = append(others, d)
		}
	}
	return nvidia, others
}

// plain gives the devices' own nodes, and what belongs to their vendor.
func (i Injector) plain(devices []gpu.Device) Edits {
	var in Edits
	for _, d := range devices {
		if d.Resource == gpu.ResourceFPGA {
			for _, dir := range i.FPGATools {
				in.Mounts = union(in.Mounts, []Mount{{Source: dir, Target: dir, ReadOnly: true}})
			}
		}
		for _, path := range d.Nodes {
			in.Devices = union(in.Devices, []DeviceNode{{Path: path, Permissions: "rw"}})
		}
	}
	return in
}
