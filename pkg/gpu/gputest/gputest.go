// Package gputest has hosts with GPUs for tests: their inventories, what pods ask of them,
// and a driver whose devices a test can change.
package gputest

import (
	"fmt"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// UUID is that of GPU number i of Host.
func UUID(i int) string { return fmt.Sprintf("GPU-%d", i) }

// Host is an inventory of n whole GPUs without any topology.
func Host(n int) gpu.Inventory {
	inv := gpu.Inventory{Resources: []string{gpu.ResourceGPU}}
	for i := range n {
		inv.Devices = append(inv.Devices, gpu.Device{
			UUID: UUID(i), Resource: gpu.ResourceGPU, Index: i, Minor: i, Name: "Test GPU",
			MemoryBytes: 40 << 30, PCIBusID: fmt.Sprintf("0000:%02x:00.0", i), Nodes: []string{fmt.Sprintf("/dev/nvidia%d", i)},
		})
	}
	return inv
}

// Partitioned is a host with one GPU of two MIG instances and one whole GPU.
func Partitioned() gpu.Inventory {
	inv := Host(2)
	inv.Devices[0].Resource = ""
	for i := range 2 {
		inv.Devices = append(inv.Devices, gpu.Device{
			UUID: fmt.Sprintf("MIG-%d", i), Resource: gpu.ResourceMIGPrefix + "3g.20gb", Profile: "3g.20gb",
			ParentUUID: UUID(0), GPUInstanceID: i + 1, PCIBusID: inv.Devices[0].PCIBusID, Index: i,
		})
	}
	return inv
}

// FPGA is a card of another vendor.
func FPGA() gpu.Device {
	return gpu.Device{UUID: "/dev/dri/renderD128", Resource: gpu.ResourceFPGA, Nodes: []string{"/dev/dri/renderD128"}}
}

// AMD is a GPU of another vendor, which shares a device node with others of its kind.
func AMD() gpu.Device {
	return gpu.Device{UUID: "/dev/dri/renderD129", Resource: "amd.com/gpu", Nodes: []string{"/dev/dri/renderD129", "/dev/kfd"}}
}

// Ask is the request of a pod whose one container asks for n GPUs.
func Ask(container string, n int64) gpu.Request { return AskFor(gpu.ResourceGPU, container, n) }

// AskFor is the request of a pod whose one container asks for n devices of a resource.
func AskFor(resource, container string, n int64) gpu.Request {
	return gpu.Request{Containers: []gpu.ContainerRequest{{Name: container, Phase: gpu.PhaseMain, Counts: map[string]int64{resource: n}}}}
}

// Held is what a pod holds whose container main has these devices.
func Held(uuids ...string) gpu.Assignment {
	return gpu.Assignment{Containers: map[string][]string{"main": uuids}}
}

// Trouble joins what is wrong with the devices of an owner's container main.
func Trouble(l *gpu.Ledger, owner string) string {
	var parts []string
	for _, d := range l.Health(owner, "main") {
		if d.Trouble != "" {
			parts = append(parts, d.Trouble)
		}
	}
	return strings.Join(parts, "; ")
}
