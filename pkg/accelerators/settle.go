package accelerators

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// settleAgain is how long after a failure the strategies are tried again: that
// may boot a sandbox.
const settleAgain = 30 * time.Second

// settle chooses the strategy, once there are devices to choose it for.
func (a *Accelerators) settle(ctx context.Context, devices []gpu.Device) {
	nvidia := nvidiaOf(devices)
	if a.strategy.Name() != "" || len(nvidia) == 0 || time.Now().Before(a.nextTry) {
		return
	}
	candidates, err := inject.Strategies(a.config.Strategy, a.config.Specs)
	var chosen inject.Strategy
	if err == nil {
		chosen, err = inject.Settle(ctx, candidates, func(ctx context.Context, s inject.Strategy) error { return a.try(ctx, s, nvidia) })
	}
	a.nextTry = time.Now().Add(settleAgain)
	a.strategy.set(chosen, err)
	if err == nil {
		log.G(ctx).WithField("strategy", chosen.Name()).WithField("configured", a.config.Strategy).
			Info("the way in which GPUs get into containers is chosen")
	}
}

// try tells whether what a strategy needs is there: on the host, in its engine,
// and in a sandbox, which is booted for that if the strategy needs anything in it.
func (a *Accelerators) try(ctx context.Context, s inject.Strategy, devices []gpu.Device) error {
	var reasons []error
	devices = slices.DeleteFunc(slices.Clone(devices), func(d gpu.Device) bool {
		err := a.works(s, []gpu.Device{d})
		reasons = append(reasons, err)
		return err != nil
	})
	if len(devices) == 0 {
		return errors.Join(reasons...)
	}
	in, err := s.Sandbox(devices)
	if err != nil {
		return err
	}
	if in.Runtime == "" && len(in.CDIDevices) == 0 {
		return nil
	}
	host, err := a.host.Info(ctx)
	if err != nil {
		return err
	}
	if err := supports(host, in); err != nil {
		return fmt.Errorf("the host's engine: %w", err)
	}
	return a.sandboxes.Try(ctx, hardware(in), func(ctx context.Context, s *sandbox.Sandbox) error {
		inside, err := s.Engine.Info(ctx)
		if err != nil {
			return err
		}
		if err := supports(inside, in); err != nil {
			return fmt.Errorf("the engine in the sandbox image: %w", err)
		}
		return nil
	})
}

// supports tells whether an engine can do what an injection asks of it.
func supports(info engine.Info, in inject.Edits) error {
	if in.Runtime != "" && !slices.Contains(info.Runtimes, in.Runtime) {
		return fmt.Errorf("it has no runtime %q; install NVIDIA's container toolkit and run: nvidia-ctk runtime configure: %w",
			in.Runtime, errdefs.ErrFailedPrecondition)
	}
	if len(in.CDIDevices) > 0 && len(info.CDISpecDirs) == 0 {
		return fmt.Errorf("version %s does not support CDI; it takes version 25 with the feature switched on, or 28.2: %w",
			info.Version, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// nvidiaOf are NVIDIA's devices among others, MIG instances included.
func nvidiaOf(devices []gpu.Device) []gpu.Device {
	return slices.DeleteFunc(slices.Clone(devices), func(d gpu.Device) bool { return d.Vendor() != "nvidia.com" })
}

// Way is a strategy, and why it does not work.
type Way struct {
	Strategy string
	Err      error
}

// Ways tries the strategies of a name, as far as that takes no sandbox, with NVIDIA's
// among the devices. An unknown name is a way that does not work.
func Ways(name string, specs cdi.Specs, host engine.Info, devices []gpu.Device) []Way {
	candidates, err := inject.Strategies(name, specs)
	if err != nil {
		return []Way{{Strategy: name, Err: err}}
	}
	var out []Way
	for _, s := range candidates {
		in, err := s.Sandbox(nvidiaOf(devices))
		if err == nil {
			err = errors.Join(present(in), supports(host, in))
		}
		out = append(out, Way{Strategy: s.Name(), Err: err})
	}
	return out
}
