//go:build cgo

package gpu

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/containerd/errdefs"
)

// NVML answers NVML_TIMEOUT after this long without an event, so Watch looks at
// its context, and for devices that came back, as often.
const eventWait = time.Second

// nvmlEvents are the events that say something about the health of a device.
const nvmlEvents = uint64(nvml.EventTypeXidCriticalError | nvml.EventTypeDoubleBitEccError |
	nvml.EventTypeFatalPoisonError | nvml.EventTypeDramRetirementFailure | nvml.EventTypeGpuUnavailableError)

type nvmlDiscoverer struct {
	lib   nvml.Interface
	sysfs string
}

// OpenNVML loads NVIDIA's management library and starts it. The error of a host
// without the library or its kernel driver has ErrNoDriver in its chain.
func OpenNVML(o NVMLOptions) (Discoverer, error) {
	var options []nvml.LibraryOption
	if o.LibraryPath != "" {
		options = append(options, nvml.WithLibraryPath(o.LibraryPath))
	}
	return startNVML(nvml.New(options...), o)
}

// startNVML initializes a library that is loaded. Errors are ErrNoDriver and
// errdefs.ErrUnavailable.
func startNVML(lib nvml.Interface, o NVMLOptions) (Discoverer, error) {
	switch ret := lib.Init(); ret {
	case nvml.SUCCESS:
		return &nvmlDiscoverer{lib: lib, sysfs: o.sysfs()}, nil
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return nil, fmt.Errorf("loading %s: the library is not installed or not visible here; install the NVIDIA driver, or mount its libraries into this container: %w: %w",
			o.library(), ErrNoDriver, errdefs.ErrUnavailable)
	default:
		return nil, fmt.Errorf("starting %s: %w; check that nvidia-smi works on the host: %w: %w",
			o.library(), ret, ErrNoDriver, errdefs.ErrUnavailable)
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
func (n *nvmlDiscoverer) has(function string) bool {
	return n.lib.Extensions().LookupSymbol(function) == nil
}

// handles lists the physical GPUs. One that is lost has no handle; it is left
// out, with a sentence that says so.
func (n *nvmlDiscoverer) handles(ctx context.Context) (handles []nvml.Device, skipped []string, err error) {
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

// Inventory lists GPUs, and the MIG instances of those that are partitioned. A GPU that does
// not answer is left out and named in Skipped; a driver that does not is an error.
func (n *nvmlDiscoverer) Inventory(ctx context.Context) (Inventory, error) {
	inv := Inventory{Resources: []string{ResourceGPU}, Drivers: []Driver{n.driver()}}
	handles, skipped, err := n.handles(ctx)
	if err != nil {
		return Inventory{}, err
	}
	inv.Skipped = skipped
	var gpus []Device
	var used []nvml.Device
	for _, handle := range handles {
		d, err := n.describe(handle)
		if err != nil {
			inv.Skipped = append(inv.Skipped, err.Error())
			continue
		}
		gpus, used = append(gpus, d), append(used, handle)
		if n.partitioned(handle) {
			d.Resource = ""
			instances, skipped := n.instances(handle, d)
			inv.Devices = append(inv.Devices, instances...)
			inv.Skipped = append(inv.Skipped, skipped...)
		}
		inv.Devices = append(inv.Devices, d)
	}
	inv.Topology = n.topology(gpus, used)
	return inv, nil
}

// driver is the versions that the driver tells of itself; one that it does not tell is empty.
func (n *nvmlDiscoverer) driver() Driver {
	d := Driver{Vendor: "nvidia.com"}
	if version, ret := n.lib.SystemGetDriverVersion(); ret == nvml.SUCCESS {
		d.Version = version
	}
	if cuda, ret := n.lib.SystemGetCudaDriverVersion(); ret == nvml.SUCCESS {
		d.CUDA = fmt.Sprintf("%d.%d", cuda/1000, cuda%1000/10)
	}
	return d
}

// describe reads what identifies a GPU, without which there is an error, and what else the
// driver tells of it.
func (n *nvmlDiscoverer) describe(handle nvml.Device) (Device, error) {
	uuid, ret := handle.GetUUID()
	if err := refuse("reading the UUID of a GPU", ret); err != nil {
		return Device{}, err
	}
	minor, ret := handle.GetMinorNumber()
	if err := refuse("reading the minor number of "+uuid, ret); err != nil {
		return Device{}, err
	}
	d := Device{UUID: uuid, Resource: ResourceGPU, Minor: minor, NUMANode: UnknownNUMANode,
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
		d.NUMANode = numaNode(n.sysfs, d.PCIBusID)
	}
	return d, nil
}

// partitioned says that MIG is on, so that the GPU itself is not given out.
func (n *nvmlDiscoverer) partitioned(handle nvml.Device) bool {
	if !n.has("nvmlDeviceGetMigMode") {
		return false
	}
	mode, _, ret := handle.GetMigMode()
	return ret == nvml.SUCCESS && mode == nvml.DEVICE_MIG_ENABLE
}

// instances lists the MIG instances of a GPU.
func (n *nvmlDiscoverer) instances(parent nvml.Device, gpu Device) (list []Device, skipped []string) {
	slots, ret := parent.GetMaxMigDeviceCount()
	if ret != nvml.SUCCESS {
		return nil, []string{refuse("counting the MIG instances of "+gpu.UUID, ret).Error()}
	}
	for i := range slots {
		handle, ret := parent.GetMigDeviceHandleByIndex(i)
		if ret == nvml.ERROR_NOT_FOUND || ret == nvml.ERROR_INVALID_ARGUMENT {
			continue
		}
		err := refuse(fmt.Sprintf("MIG instance %d of %s is left out", i, gpu.UUID), ret)
		if err == nil {
			var d Device
			if d, err = n.describeInstance(handle, gpu); err == nil {
				d.Index = i
				list = append(list, d)
				continue
			}
		}
		skipped = append(skipped, err.Error())
	}
	return list, skipped
}

// describeInstance reads a MIG instance of gpu. All that identifies it has to be told.
func (n *nvmlDiscoverer) describeInstance(handle nvml.Device, gpu Device) (Device, error) {
	uuid, ret := handle.GetUUID()
	if err := refuse("reading the UUID of a MIG instance of "+gpu.UUID, ret); err != nil {
		return Device{}, err
	}
	gi, ret := handle.GetGpuInstanceId()
	if err := refuse("reading the GPU instance of "+uuid, ret); err != nil {
		return Device{}, err
	}
	ci, ret := handle.GetComputeInstanceId()
	if err := refuse("reading the compute instance of "+uuid, ret); err != nil {
		return Device{}, err
	}
	attributes, ret := handle.GetAttributes()
	if err := refuse("reading the attributes of "+uuid, ret); err != nil {
		return Device{}, err
	}
	name, _ := handle.GetName()
	profile := migProfile(name, int(attributes.GpuInstanceSliceCount), int(attributes.ComputeInstanceSliceCount),
		attributes.MemorySizeMB, gpu.MemoryBytes>>20)
	return Device{
		UUID: uuid, Resource: migResource(profile), Name: gpu.Name + " MIG " + profile, Minor: gpu.Minor,
		MemoryBytes: attributes.MemorySizeMB << 20, PCIBusID: gpu.PCIBusID, NUMANode: gpu.NUMANode, Nodes: gpu.Nodes,
		ParentUUID: gpu.UUID, Profile: profile, GPUInstanceID: gi, ComputeInstanceID: ci,
	}, nil
}

// topology reads how each pair of GPUs is connected; handles are those of gpus, in their order.
func (n *nvmlDiscoverer) topology(gpus []Device, handles []nvml.Device) Topology {
	links := make([]nvlinks, len(gpus))
	for i, handle := range handles {
		links[i] = n.nvlinks(handle)
	}
	var t Topology
	for i, a := range gpus {
		for j, b := range gpus[:i] {
			path := PathUnknown
			if level, ret := handles[i].GetTopologyCommonAncestor(handles[j]); ret == nvml.SUCCESS {
				path = pathOf(int(level))
			}
			t.Connect(a.UUID, b.UUID, Connection{NVLinks: links[i].to(b, links[j]), Path: path})
		}
	}
	return t
}

// nvlinks counts the active links of a GPU by what is at their other end.
func (n *nvmlDiscoverer) nvlinks(handle nvml.Device) nvlinks {
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
func (n *nvmlDiscoverer) Processes(ctx context.Context) ([]Process, error) {
	handles, _, err := n.handles(ctx)
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, handle := range handles {
		gpu, err := n.describe(handle)
		if err != nil {
			continue
		}
		var instances []Device
		if n.partitioned(handle) {
			instances, _ = n.instances(handle, gpu)
		}
		list, ret := handle.GetComputeRunningProcesses()
		if ret == nvml.ERROR_NOT_SUPPORTED || ret == nvml.ERROR_GPU_IS_LOST {
			continue
		}
		if err := refuse("listing the processes on "+gpu.UUID, ret); err != nil {
			return nil, err
		}
		if n.has("nvmlDeviceGetMPSComputeRunningProcesses_v3") {
			if clients, ret := handle.GetMPSComputeRunningProcesses(); ret == nvml.SUCCESS {
				list = append(list, clients...)
			}
		}
		for _, p := range list {
			found := Process{PID: int(p.Pid), UUID: instanceUUID(gpu.UUID, instances, p.GpuInstanceId, p.ComputeInstanceId)}
			if !slices.Contains(all, found) {
				all = append(all, found)
			}
		}
	}
	return all, nil
}

// Probe asks a device for its memory, and for rows of it that are not replaced. A MIG instance is as fit as its GPU.
func (n *nvmlDiscoverer) Probe(_ context.Context, uuid string) error {
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
func (n *nvmlDiscoverer) Close() error {
	return refuse("shutting down", n.lib.Shutdown())
}
