package accelerators

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// equip has new sandboxes given the devices, which must all be usable.
func (a *Accelerators) equip(ctx context.Context, devices []gpu.Device) {
	in, err := a.injector.Sandbox(devices)
	if err != nil {
		// What describes the devices has changed since they were sorted; the next pass sees it.
		log.G(ctx).WithError(err).Warn("sandboxes cannot be equipped with the accelerators")
		return
	}
	a.sandboxes.SetHardware(hardware(in))
}

// hardware puts edits into the terms of the pool.
func hardware(in inject.Edits) sandbox.Hardware {
	return sandbox.Hardware{Devices: in.EngineDevices(), Mounts: in.EngineMounts(), Env: in.Env, Runtime: in.Runtime, CDIDevices: in.CDIDevices}
}

// equipper is an Injector or a Strategy.
type equipper interface {
	Sandbox([]gpu.Device) (inject.Edits, error)
}

// works tells whether a sandbox can get the devices: an engine refuses to start
// a container when one file that it is to be given is not there.
func (a *Accelerators) works(e equipper, devices []gpu.Device) error {
	in, err := e.Sandbox(devices)
	if err != nil {
		return err
	}
	return present(in)
}

// present looks for the files of an injection on the host.
func present(in inject.Edits) error {
	for _, d := range in.Devices {
		if _, err := os.Stat(d.Path); err != nil {
			return fmt.Errorf("device node %s: %w; make it with nvidia-modprobe or nvidia-smi, or make the CDI specification anew", d.Path, err)
		}
	}
	for _, m := range in.Mounts {
		if _, err := os.Stat(m.Source); err != nil {
			return fmt.Errorf("%s, which containers with the device are given: %w; if the driver was changed, make the CDI specification anew with: nvidia-ctk cdi generate; if it is of MPS, start the control daemon", m.Source, err)
		}
	}
	return nil
}
