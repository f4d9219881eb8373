package sandbox

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"

// Hardware is what a sandbox gets of the host's accelerators. A running sandbox
// gains no device, so each gets all that any pod may be given.
type Hardware struct {
	Devices []engine.Device
	Mounts  []engine.Mount
	Env     []string
	// Runtime is the host engine's container runtime, "" for its default.
	Runtime string
	// CDIDevices are fully qualified CDI names.
	CDIDevices []string
}

func (h Hardware) apply(spec *engine.Spec) {
	spec.Env = append(spec.Env, h.Env...)
	spec.Mounts = append(spec.Mounts, h.Mounts...)
	spec.Devices = append(spec.Devices, h.Devices...)
	spec.Runtime = h.Runtime
	spec.CDIDevices = append(spec.CDIDevices, h.CDIDevices...)
}
