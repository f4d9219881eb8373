package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// VisibleDevices tells which devices the variable NVIDIA_VISIBLE_DEVICES of a
// container of the host names, so that they can be reported with SetForeign.
// Items are indexes, MIG instances as gpu:instance, UUIDs, or the beginning of a
// UUID, as NVIDIA's runtime reads them. A GPU stands for its MIG instances.
//
// "all" names none: monitoring tools have it without using any device, and real
// use shows in the processes. So do void, none, and what is not understood.
func VisibleDevices(value string, devices []gpu.Device) []string {
	var uuids []string
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		for _, d := range devices {
			if item != "" && names(item, d, devices) && !slices.Contains(uuids, d.UUID) {
				uuids = append(uuids, d.UUID)
			}
		}
	}
	return uuids
}

// names says whether an item of NVIDIA_VISIBLE_DEVICES means a device: a UUID or the
// beginning of one, an index, or GPU:INSTANCE for a MIG instance.
func names(item string, d gpu.Device, devices []gpu.Device) bool {
	if d.Vendor() != "nvidia.com" && d.Resource != "" {
		return false
	}
	if strings.HasPrefix(item, "GPU-") || strings.HasPrefix(item, "MIG-") {
		return strings.HasPrefix(d.UUID, item)
	}
	index, instance, isMIG := strings.Cut(item, ":")
	if isMIG != d.IsMIG() {
		return false
	}
	if !isMIG {
		return index == strconv.Itoa(d.Index)
	}
	parent := slices.IndexFunc(devices, func(p gpu.Device) bool { return p.UUID == d.ParentUUID })
	return parent >= 0 && index == strconv.Itoa(devices[parent].Index) && instance == strconv.Itoa(d.Index)
}
