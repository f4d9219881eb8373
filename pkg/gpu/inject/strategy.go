package inject

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"

// Strategy is a way in which NVIDIA devices get into containers. The container
// runs in a sandbox, which has to be given everything when it is started.
type Strategy interface {
	// Name is what the configuration calls it.
	Name() string
	// Sandbox is what a sandbox needs that can serve any of the devices.
	Sandbox(devices []gpu.Device) (Edits, error)
	// Container is what a container needs for exactly these devices, at least one.
	Container(devices []gpu.Device) (Edits, error)
}

// The names of the strategies.
const (
	StrategyAuto    = "auto"
	StrategyDevices = "devices"
	StrategyCDI     = "cdi"
	StrategyRuntime = "nvidia-runtime"
)
