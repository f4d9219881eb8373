//go:build cgo

package nvml

import (
	"context"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// Loads tells what the GPUs and the MIG instances do now. One that does not answer is left
// out: the inventory says why. A driver that does not answer is an error.
func (n *discoverer) Loads(ctx context.Context) ([]gpu.Load, error) {
	handles, _, err := n.handles(ctx)
	if err != nil {
		return nil, err
	}
	var out []gpu.Load
	for _, handle := range handles {
		if load, told := loadOf(handle); told {
			out = append(out, load)
		}
		if n.partitioned(handle) {
			out = append(out, loadsOfInstances(handle)...)
		}
	}
	return out, nil
}

// loadsOfInstances are those of the MIG instances of a GPU. The driver counts their memory,
// and not when they work.
func loadsOfInstances(whole nvml.Device) (out []gpu.Load) {
	slots, ret := whole.GetMaxMigDeviceCount()
	if ret != nvml.SUCCESS {
		return nil
	}
	for i := range slots {
		handle, ret := whole.GetMigDeviceHandleByIndex(i)
		if ret != nvml.SUCCESS {
			continue
		}
		if load, told := loadOf(handle); told {
			load.Utilization = nil
			out = append(out, load)
		}
	}
	return out
}

// loadOf reads what the driver tells of one device; false means that it tells not even
// which one it is.
func loadOf(handle nvml.Device) (load gpu.Load, told bool) {
	uuid, ret := handle.GetUUID()
	if ret != nvml.SUCCESS {
		return gpu.Load{}, false
	}
	load.UUID = uuid
	if use, ret := handle.GetUtilizationRates(); ret == nvml.SUCCESS {
		load.Utilization = &use.Gpu
	}
	if memory, ret := handle.GetMemoryInfo(); ret == nvml.SUCCESS {
		load.MemoryUsedBytes, load.MemoryTotalBytes = memory.Used, memory.Total
	}
	return load, true
}
