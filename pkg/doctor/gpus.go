package doctor

import (
	"context"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/nvml"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// gpuLines judges the driver, the sharing and the ways into containers. It loads the driver
// for that.
func (p *examination) gpuLines(ctx context.Context, info engine.Info) []preflight.Line {
	driver, err := nvml.Open(nvml.Options{LibraryPath: p.settings.GPU.LibraryPath})
	if err != nil {
		return []preflight.Line{preflight.GPUs(gpu.Inventory{}, err)}
	}
	defer driver.Close()
	inventory, err := driver.Inventory(ctx)
	lines := []preflight.Line{preflight.GPUs(inventory, err)}
	c, sharingErr := p.setup.Accelerators(p.settings)
	if sharingErr != nil {
		return append(lines, preflight.Line{Name: "gpu sharing", Verdict: preflight.Fail, Found: sharingErr.Error(), Do: "correct GPUSharing"})
	}
	if err != nil || len(inventory.Devices) == 0 {
		return lines
	}
	return append(lines, preflight.Ways(accelerators.Ways(c.Strategy, c.Specs, info, inventory.Devices)))
}
