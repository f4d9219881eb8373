//go:build cgo

package nvml

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/sysfs"
)

// discoverer is the Discoverer of NVIDIA's devices.
type discoverer struct {
	lib       nvml.Interface
	sysfsRoot string
}

// Open loads NVIDIA's management library and starts it. The error of a host
// without the library or its kernel driver has monitor.ErrNoDriver in its chain.
func Open(o Options) (monitor.Discoverer, error) {
	var options []nvml.LibraryOption
	if o.LibraryPath != "" {
		options = append(options, nvml.WithLibraryPath(o.LibraryPath))
	}
	return start(nvml.New(options...), o)
}

// start initializes a library that is loaded. Errors are monitor.ErrNoDriver and
// errdefs.ErrUnavailable.
func start(lib nvml.Interface, o Options) (monitor.Discoverer, error) {
	switch ret := lib.Init(); ret {
	case nvml.SUCCESS:
		return &discoverer{lib: lib, sysfsRoot: o.SysfsRoot}, nil
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return nil, fmt.Errorf("loading %s: the library is not installed or not visible here; install the NVIDIA driver, or mount its libraries into this container: %w: %w",
			o.library(), monitor.ErrNoDriver, errdefs.ErrUnavailable)
	default:
		return nil, fmt.Errorf("starting %s: %w; check that nvidia-smi works on the host: %w: %w",
			o.library(), ret, monitor.ErrNoDriver, errdefs.ErrUnavailable)
	}
}

// refuse turns a result that is not a success into an error.
func refuse(what string, ret nvml.Return) error {
	if ret == nvml.SUCCESS {
		return nil
	}
	return fmt.Errorf("NVML: %s: %w", what, ret)
}

// has tells whether this version of the library has a function: to call one that
// it does not have would end the process.
func (n *discoverer) has(function string) bool {
	return n.lib.Extensions().LookupSymbol(function) == nil
}

// handles lists the physical GPUs. One that is lost has no handle; it is left
// out, with a sentence that says so.
func (n *discoverer) handles(ctx context.Context) (handles []nvml.Device, skipped []string, err error) {
	count, ret := n.lib.DeviceGetCount()
	if err := refuse("counting devices", ret); err != nil {
		return nil, nil, err
	}
	for i := range count {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		handle, ret := n.lib.DeviceGetHandleByIndex(i)
		if err := refuse(fmt.Sprintf("GPU %d is left out", i), ret); err != nil {
			skipped = append(skipped, err.Error())
			continue
		}
		handles = append(handles, handle)
	}
	return handles, skipped, nil
}

// physicalGPU is one GPU of the host, with its MIG instances if it is partitioned.
type physicalGPU struct {
	gpu.Device
	handle    nvml.Device
	instances []gpu.Device
}

// gpus reads all GPUs and MIG instances. One that does not answer is left out, with a
// sentence that says so.
func (n *discoverer) gpus(ctx context.Context) (list []physicalGPU, skipped []string, err error) {
	handles, skipped, err := n.handles(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, handle := range handles {
		g, unread, err := n.describe(handle)
		if err != nil {
			skipped = append(skipped, err.Error())
			continue
		}
		list, skipped = append(list, g), append(skipped, unread...)
	}
	return list, skipped, nil
}

// Inventory lists GPUs, and the MIG instances of those that are partitioned. A GPU that does
// not answer is left out and named in Skipped; a driver that does not is an error.
func (n *discoverer) Inventory(ctx context.Context) (gpu.Inventory, error) {
	gpus, skipped, err := n.gpus(ctx)
	if err != nil {
		return gpu.Inventory{}, err
	}
	inv := gpu.Inventory{Resources: []string{gpu.ResourceGPU}, Drivers: []gpu.Driver{n.driver()}, Topology: n.topology(gpus), Skipped: skipped}
	for _, g := range gpus {
		inv.Devices = append(append(inv.Devices, g.instances...), g.Device)
	}
	return inv, nil
}

// driver is the versions that the driver tells of itself; one that it does not tell is empty.
func (n *discoverer) driver() gpu.Driver {
	d := gpu.Driver{Vendor: "nvidia.com"}
	if version, ret := n.lib.SystemGetDriverVersion(); ret == nvml.SUCCESS {
		d.Version = version
	}
	if cuda, ret := n.lib.SystemGetCudaDriverVersion(); ret == nvml.SUCCESS {
		d.CUDA = fmt.Sprintf("%d.%d", cuda/1000, cuda%1000/10)
	}
	return d
}

// describe reads a GPU and its MIG instances. unread has a sentence for each instance that
// cannot be read.
func (n *discoverer) describe(handle nvml.Device) (g physicalGPU, unread []string, err error) {
	d, err := n.device(handle)
	if err != nil {
		return physicalGPU{}, nil, err
	}
	g = physicalGPU{Device: d, handle: handle}
	if n.partitioned(handle) {
		g.Resource = ""
		g.instances, unread = n.instances(handle, d)
	}
	return g, unread, nil
}

// device reads what identifies a GPU, without which there is an error, and what else the
// driver tells of it.
func (n *discoverer) device(handle nvml.Device) (gpu.Device, error) {
	uuid, ret := handle.GetUUID()
	if err := refuse("reading the UUID of a GPU", ret); err != nil {
		return gpu.Device{}, err
	}
	minor, ret := handle.GetMinorNumber()
	if err := refuse("reading the minor number of "+uuid, ret); err != nil {
		return gpu.Device{}, err
	}
	d := gpu.Device{UUID: uuid, Resource: gpu.ResourceGPU, Minor: minor, NUMANode: gpu.UnknownNUMANode,
		Nodes: []string{fmt.Sprintf("/dev/nvidia%d", minor)}}
	if index, ret := handle.GetIndex(); ret == nvml.SUCCESS {
		d.Index = index
	}
	if name, ret := handle.GetName(); ret == nvml.SUCCESS {
		d.Name = name
	}
	if memory, ret := handle.GetMemoryInfo(); ret == nvml.SUCCESS {
		d.MemoryBytes = memory.Total
	}
	if pci, ret := handle.GetPciInfo(); ret == nvml.SUCCESS {
		d.PCIBusID = pciBusID(chars(pci.BusId[:]))
		d.NUMANode = sysfs.NUMANode(n.sysfsRoot, d.PCIBusID)
	}
	return d, nil
}

// partitioned says that MIG is on, so that the GPU itself is not given out.
func (n *discoverer) partitioned(handle nvml.Device) bool {
	if !n.has("nvmlDeviceGetMigMode") {
		return false
	}
	mode, _, ret := handle.GetMigMode()
	return ret == nvml.SUCCESS && mode == nvml.DEVICE_MIG_ENABLE
}

// instances lists the MIG instances of a GPU. One that cannot be read is left out, with a
// sentence that says so.
func (n *discoverer) instances(handle nvml.Device, whole gpu.Device) (list []gpu.Device, skipped []string) {
	slots, ret := handle.GetMaxMigDeviceCount()
	if ret != nvml.SUCCESS {
		return nil, []string{refuse("counting the MIG instances of "+whole.UUID, ret).Error()}
	}
	for i := range slots {
		instance, ret := handle.GetMigDeviceHandleByIndex(i)
		if ret == nvml.ERROR_NOT_FOUND || ret == nvml.ERROR_INVALID_ARGUMENT {
			continue
		}
		var d gpu.Device
		err := refuse(fmt.Sprintf("MIG instance %d of %s is left out", i, whole.UUID), ret)
		if err == nil {
			d, err = n.instance(instance, whole)
		}
		if err != nil {
			skipped = append(skipped, err.Error())
			continue
		}
		d.Index = i
		list = append(list, d)
	}
	return list, skipped
}

// instance reads a MIG instance of a GPU. All that identifies it has to be told.
func (n *discoverer) instance(handle nvml.Device, whole gpu.Device) (gpu.Device, error) {
	uuid, ret := handle.GetUUID()
	if err := refuse("reading the UUID of a MIG instance of "+whole.UUID, ret); err != nil {
		return gpu.Device{}, err
	}
	gi, ret := handle.GetGpuInstanceId()
	if err := refuse("reading the GPU instance of "+uuid, ret); err != nil {
		return gpu.Device{}, err
	}
	ci, ret := handle.GetComputeInstanceId()
	if err := refuse("reading the compute instance of "+uuid, ret); err != nil {
		return gpu.Device{}, err
	}
	attributes, ret := handle.GetAttributes()
	if err := refuse("reading the attributes of "+uuid, ret); err != nil {
		return gpu.Device{}, err
	}
	name, _ := handle.GetName()
	profile := migProfile(name, int(attributes.GpuInstanceSliceCount), int(attributes.ComputeInstanceSliceCount),
		attributes.MemorySizeMB, whole.MemoryBytes>>20)
	return gpu.Device{
		UUID: uuid, Resource: migResource(profile), Name: whole.Name + " MIG " + profile, Minor: whole.Minor,
		MemoryBytes: attributes.MemorySizeMB << 20, PCIBusID: whole.PCIBusID, NUMANode: whole.NUMANode, Nodes: whole.Nodes,
		ParentUUID: whole.UUID, Profile: profile, GPUInstanceID: gi, ComputeInstanceID: ci,
	}, nil
}

// topology reads how each pair of GPUs is connected.
func (n *discoverer) topology(gpus []physicalGPU) gpu.Topology {
	links := make([]nvlinks, len(gpus))
	for i, g := range gpus {
		links[i] = n.nvlinks(g.handle)
	}
	var t gpu.Topology
	for i, a := range gpus {
		for j, b := range gpus[:i] {
			path := gpu.PathUnknown
			if level, ret := a.handle.GetTopologyCommonAncestor(b.handle); ret == nvml.SUCCESS {
				path = pathOf(int(level))
			}
			t.Connect(a.UUID, b.UUID, gpu.Connection{NVLinks: links[i].to(b.Device, links[j]), Path: path})
		}
	}
	return t
}

// nvlinks counts the active links of a GPU by what is at their other end.
func (n *discoverer) nvlinks(handle nvml.Device) nvlinks {
	l := nvlinks{direct: make(map[string]int)}
	for i := range nvml.NVLINK_MAX_LINKS {
		state, ret := handle.GetNvLinkState(i)
		if ret == nvml.ERROR_NOT_SUPPORTED || ret == nvml.ERROR_INVALID_ARGUMENT {
			break
		}
		if ret != nvml.SUCCESS || state != nvml.FEATURE_ENABLED {
			continue
		}
		if n.has("nvmlDeviceGetNvLinkRemoteDeviceType") {
			if kind, ret := handle.GetNvLinkRemoteDeviceType(i); ret == nvml.SUCCESS && kind == nvml.NVLINK_DEVICE_TYPE_SWITCH {
				l.switched++
				continue
			}
		}
		if remote, ret := handle.GetNvLinkRemotePciInfo(i); ret == nvml.SUCCESS {
			l.direct[pciBusID(chars(remote.BusId[:]))]++
		}
	}
	return l
}

// Processes lists compute processes; a display server is no use of a GPU.
func (n *discoverer) Processes(ctx context.Context) ([]monitor.Process, error) {
	gpus, _, err := n.gpus(ctx)
	if err != nil {
		return nil, err
	}
	var all []monitor.Process
	for _, g := range gpus {
		list, ret := g.handle.GetComputeRunningProcesses()
		if ret == nvml.ERROR_NOT_SUPPORTED || ret == nvml.ERROR_GPU_IS_LOST {
			continue
		}
		if err := refuse("listing the processes on "+g.UUID, ret); err != nil {
			return nil, err
		}
		if n.has("nvmlDeviceGetMPSComputeRunningProcesses_v3") {
			if clients, ret := g.handle.GetMPSComputeRunningProcesses(); ret == nvml.SUCCESS {
				list = append(list, clients...)
			}
		}
		for _, p := range list {
			found := monitor.Process{PID: int(p.Pid), UUID: instanceUUID(g.UUID, g.instances, p.GpuInstanceId, p.ComputeInstanceId)}
			if !slices.Contains(all, found) {
				all = append(all, found)
			}
		}
	}
	return all, nil
}

// Probe asks a device for its memory, and for rows of it that are not replaced. A MIG
// instance is as fit as its GPU.
func (n *discoverer) Probe(_ context.Context, uuid string) error {
	handle, ret := n.lib.DeviceGetHandleByUUID(uuid)
	if err := refuse("looking for "+uuid, ret); err != nil {
		return err
	}
	if _, ret := handle.GetMemoryInfo(); ret != nvml.SUCCESS {
		return refuse("reading the memory of "+uuid, ret)
	}
	if strings.HasPrefix(uuid, "MIG-") || !n.has("nvmlDeviceGetRemappedRows") {
		return nil
	}
	_, _, pending, failed, ret := handle.GetRemappedRows()
	switch {
	case ret != nvml.SUCCESS && ret != nvml.ERROR_NOT_SUPPORTED:
		return refuse("reading the remapped rows of "+uuid, ret)
	case failed:
		return fmt.Errorf("%s has faulty memory that could not be remapped; the GPU needs to be replaced", uuid)
	case pending:
		return fmt.Errorf("%s has faulty memory that is remapped at the next reset; reset the GPU", uuid)
	}
	return nil
}

// Close unloads the library. Nothing else may be called after it.
func (n *discoverer) Close() error {
	return refuse("shutting down", n.lib.Shutdown())
}
