package inject

import (
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// runtimeStrategy leaves it to the NVIDIA container runtime. It sets no driver
// capabilities: those of the image or the pod stay.
type runtimeStrategy struct{}

// Name is StrategyRuntime.
func (runtimeStrategy) Name() string { return StrategyRuntime }

// Sandbox gives a sandbox the runtime with all devices: the engine in it gives containers
// theirs.
func (runtimeStrategy) Sandbox([]gpu.Device) (Edits, error) {
	return Edits{Runtime: "nvidia", Env: []string{visibleDevices + "=all", "NVIDIA_DRIVER_CAPABILITIES=all"}}, nil
}

// Container names the devices for the runtime, by UUID.
func (runtimeStrategy) Container(devices []gpu.Device) (Edits, error) {
	return Edits{Runtime: "nvidia", Env: []string{visibleDevices + "=" + uuidList(devices)}}, nil
}

// uuidList names devices for NVIDIA's runtime.
func uuidList(devices []gpu.Device) string {
	uuids := make([]string, 0, len(devices))
	for _, d := range devices {
		uuids = append(uuids, d.UUID)
	}
	return strings.Join(uuids, ",")
}
