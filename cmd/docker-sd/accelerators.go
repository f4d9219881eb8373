package main

import (
	"os"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
)

// acceleratorsConfig is what the configuration says of GPUs and FPGAs.
func acceleratorsConfig(settings config.Config) (accelerators.Config, error) {
	g := settings.GPU
	out := accelerators.Config{GPUs: settings.GPUEnabled, FPGAs: settings.FPGA.Enabled,
		Strategy: string(g.Strategy), Specs: cdi.Specs{Dirs: g.CDISpecDirs}, LibraryPath: g.LibraryPath,
		HoldDown: g.HoldDown, Ignored: monitor.IgnoredXIDs(g.IgnoredXIDs, g.CriticalXIDs), Sharing: sharingOf(settings),
		MPS:         inject.MPS{PipeDir: g.Sharing.MPSPipeDirectory, ShmDir: g.Sharing.MPSShmDirectory},
		BootTimeout: settings.SandboxBootTimeout}
	if err := out.Sharing.Validate(); err != nil {
		return out, err
	}
	if settings.FPGA.DisableBookkeeping {
		// Every pod that the node takes may have the same FPGA.
		out.Sharing = withShared(out.Sharing, gpu.ResourceFPGA, max(settings.MaxPods, 2))
	}
	for _, dir := range []string{settings.FPGA.ToolsPath, settings.FPGA.VitisPath, settings.FPGA.XRTPath} {
		if _, err := os.Stat(dir); err == nil {
			out.FPGATools = append(out.FPGATools, dir)
		}
	}
	out.FPGATools = machine.Outermost(out.FPGATools)
	return out, nil
}

// sharingOf is how devices are shared, but for the FPGAs without bookkeeping.
func sharingOf(settings config.Config) gpu.Sharing {
	s := settings.GPU.Sharing
	sharing := gpu.Sharing{RenameByDefault: s.RenameByDefault, FailRequestsGreaterThanOne: s.FailRequestsGreaterThanOne}
	if s.Strategy != config.GPUSharingNone {
		sharing.Strategy = gpu.SharingStrategy(s.Strategy)
	}
	for _, r := range s.Resources {
		sharing.Resources = append(sharing.Resources, gpu.SharedResource{Name: r.Name, Rename: r.Rename, Replicas: r.Replicas})
	}
	return sharing
}

// withShared shares one more resource, under its own name, unless it is shared already.
func withShared(sharing gpu.Sharing, resource string, replicas int) gpu.Sharing {
	if sharing.Replicas(resource) > 1 {
		return sharing
	}
	if sharing.Strategy == gpu.SharingNone {
		sharing.Strategy = gpu.SharingTimeSlicing
	}
	sharing.Resources = append(sharing.Resources, gpu.SharedResource{Name: resource, Rename: resource, Replicas: replicas})
	return sharing
}
