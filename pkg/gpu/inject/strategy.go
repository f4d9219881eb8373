package inject

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

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

// Strategies returns the candidates for a configured name, the best first. The
// own device list is first because it works with every engine and needs nothing
// in the sandbox; the runtime is last because it sees a privileged sandbox's
// devices. An unknown name is errdefs.ErrInvalidArgument.
func Strategies(name string, specs cdi.Specs) ([]Strategy, error) {
	all := []Strategy{deviceStrategy{specs}, cdiStrategy{specs}, runtimeStrategy{}}
	if name == StrategyAuto || name == "" {
		return all, nil
	}
	for _, s := range all {
		if s.Name() == name {
			return []Strategy{s}, nil
		}
	}
	return nil, fmt.Errorf("unknown GPU strategy %q; use %s, %s, %s or %s: %w", name,
		StrategyAuto, StrategyDevices, StrategyCDI, StrategyRuntime, errdefs.ErrInvalidArgument)
}

// Settle returns the first strategy that works, as told by try, which runs a
// container in a warm sandbox. If none works the error has every reason and is
// errdefs.ErrFailedPrecondition.
func Settle(ctx context.Context, candidates []Strategy, try func(context.Context, Strategy) error) (Strategy, error) {
	var reasons []error
	for _, s := range candidates {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("choosing a GPU strategy: %w", err)
		}
		err := try(ctx, s)
		if err == nil {
			return s, nil
		}
		reasons = append(reasons, fmt.Errorf("strategy %s: %w", s.Name(), err))
	}
	return nil, fmt.Errorf("no way to give GPUs to containers works here: %w: %w", errdefs.ErrFailedPrecondition, errors.Join(reasons...))
}

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
