package accelerators

import (
	"context"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/nvml"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/sysfs"
)

// Open loads the drivers of what is switched on, and nothing else. A GPU driver that is
// not there counts as a host without GPUs. The ledger is filled by Refresh and Run.
func Open(ctx context.Context, c Config, ledger *gpu.Ledger, host Host, sandboxes Pool) (*Accelerators, error) {
	a := &Accelerators{config: c, ledger: ledger, strategy: &strategy{}, proc: "/proc", host: host, sandboxes: sandboxes,
		cordoned: map[string]string{}, visible: map[string]string{}}
	a.injector = inject.Injector{NVIDIA: a.strategy, Sharing: c.Sharing, MPS: c.MPS}
	var parts []monitor.Discoverer
	if c.GPUs {
		nvidia, err := nvml.OpenOrNone(ctx, nvml.Options{LibraryPath: c.LibraryPath})
		if err != nil {
			return nil, err
		}
		parts = append(parts, nvidia)
	}
	if c.FPGAs {
		parts = append(parts, sysfs.FPGAs("", ""))
		a.injector.FPGATools = c.FPGATools
	}
	for _, part := range parts {
		if l, tells := part.(loader); tells {
			a.loaders = append(a.loaders, l)
		}
	}
	a.discoverer = monitor.Combine(parts...)
	a.monitor = monitor.New(monitor.Config{
		Discoverer: a.discoverer, Ledger: a.ledger, Identify: a.identify, Prepare: a.prepare,
		HoldDown: c.HoldDown, Ignored: c.Ignored,
	})
	a.equip(ctx, nil)
	return a, nil
}
