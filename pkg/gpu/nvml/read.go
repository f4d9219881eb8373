package nvml

import (
	"fmt"
	"math"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// pciBusID turns NVML's form, 00000000:07:00.0, into the kernel's: lower case
// and a domain of four digits, unless it needs more.
func pciBusID(nvml string) string {
	id := strings.ToLower(nvml)
	if domain, rest, ok := strings.Cut(id, ":"); ok && len(domain) == 8 && strings.HasPrefix(domain, "0000") {
		return domain[4:] + ":" + rest
	}
	return id
}

// migProfile is the profile of a MIG instance, such as 1g.10gb or 1c.3g.20gb. The
// driver has it in the name of the instance; older ones do not, and it is made
// from the slices and the memory as NVIDIA's tools do: memory counts in eighths
// of the GPU's, which is rounded up to whole GiB.
func migProfile(name string, slices, compute int, memoryMiB, gpuMiB uint64) string {
	if _, profile, ok := strings.Cut(name, "MIG "); ok && strings.Contains(profile, "g.") {
		return strings.TrimSpace(profile)
	}
	gib := (memoryMiB + 1023) >> 10
	if gpuMiB > 0 {
		eighths := math.Ceil(float64(memoryMiB) * 8 / float64(gpuMiB))
		gib = uint64(math.Round(eighths / 8 * float64((gpuMiB+1023)>>10)))
	}
	if compute > 0 && compute != slices {
		return fmt.Sprintf("%dc.%dg.%dgb", compute, slices, gib)
	}
	return fmt.Sprintf("%dg.%dgb", slices, gib)
}

// migResource names a profile as NVIDIA's device plugin does: the plus of an
// attribute (1g.10gb+me) is not allowed in a resource name and becomes a dot.
func migResource(profile string) string {
	return gpu.ResourceMIGPrefix + strings.ReplaceAll(profile, "+", ".")
}

// instanceUUID is the MIG instance with the ids, or the GPU where there is none.
func instanceUUID(whole string, instances []gpu.Device, gi, ci uint32) string {
	for _, d := range instances {
		if gi != noInstance && d.GPUInstanceID == int(gi) && (ci == noInstance || d.ComputeInstanceID == int(ci)) {
			return d.UUID
		}
	}
	return whole
}

// noInstance is NVML's id of an instance where there is none.
const noInstance = ^uint32(0)

// nvlinks counts a GPU's active links: those to other GPUs by PCI bus id, and
// those to NVSwitches, through which every GPU of the host is reached.
type nvlinks struct {
	direct   map[string]int
	switched int
}

// to counts the links with which a GPU reaches another.
func (l nvlinks) to(other gpu.Device, others nvlinks) int {
	return l.direct[other.PCIBusID] + min(l.switched, others.switched)
}

// pathOf translates NVML's levels of topology.
func pathOf(level int) gpu.Path {
	switch level {
	case 0:
		return gpu.PathBoard
	case 10:
		return gpu.PathSwitch
	case 20:
		return gpu.PathSwitches
	case 30:
		return gpu.PathHostBridge
	case 40:
		return gpu.PathNode
	case 50:
		return gpu.PathSystem
	}
	return gpu.PathUnknown
}

// chars reads a C string.
func chars(list []int8) string {
	var b strings.Builder
	for _, c := range list {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}
