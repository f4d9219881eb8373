package main

import (
	"context"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// hardwarePool is what accelerators need of the pool.
type hardwarePool interface {
	SetHardware(pool.Hardware)
	Try(ctx context.Context, h pool.Hardware, check func(context.Context, *pool.Sandbox) error) error
}

// gpuHost is what accelerators need of the host's engine.
type gpuHost interface {
	Info(context.Context) (engine.Info, error)
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Inspect(ctx context.Context, nameOrID string) (engine.Container, error)
}

// accelerators looks after the host's GPUs and FPGAs: it keeps the ledger up to
// date and sandboxes equipped with what the ledger may give out.
type accelerators struct {
	settings config.Config
	ledger   *gpu.Ledger
	injector gpu.Injector
	strategy *strategy
	specs    gpu.CDISpecs
	// proc is where /proc is.
	proc string

	host       gpuHost
	sandboxes  hardwarePool
	discoverer gpu.Discoverer
	monitor    *gpu.Monitor
	// owner tells whose sandbox a container is, once the pods of an earlier run
	// have been found.
	owner atomic.Pointer[func(container string) (types.UID, bool)]

	// These belong to prepare, which never runs twice at a time.
	aside    map[string]string
	visible  map[string]string
	nextTry  time.Time
	listFail bool
}

// newAccelerators opens nothing yet.
func newAccelerators(settings config.Config) (*accelerators, error) {
	sharing := sharingOf(settings)
	if err := sharing.Validate(); err != nil {
		return nil, err
	}
	if settings.FPGA.DisableBookkeeping {
		// Every pod that the node takes may have the same FPGA.
		sharing = withShared(sharing, gpu.ResourceFPGA, max(settings.MaxPods, 2))
	}
	a := &accelerators{settings: settings, ledger: gpu.NewLedger(sharing), strategy: &strategy{}, proc: "/proc",
		specs: gpu.CDISpecs{Dirs: settings.GPU.CDISpecDirs}, aside: map[string]string{}, visible: map[string]string{}}
	a.injector = gpu.Injector{NVIDIA: a.strategy, Sharing: sharing,
		MPS: gpu.MPSControl{PipeDir: settings.GPU.Sharing.MPSPipeDirectory, ShmDir: settings.GPU.Sharing.MPSShmDirectory}}
	return a, nil
}

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

func (a *accelerators) broker() gpu.Broker {
	return gpu.Broker{Ledger: a.ledger, Injector: a.injector, Off: !a.settings.GPUEnabled && !a.settings.FPGA.Enabled}
}

// open loads the drivers of what is switched on, and nothing else.
func (a *accelerators) open(ctx context.Context, host gpuHost, sandboxes hardwarePool) error {
	a.host, a.sandboxes = host, sandboxes
	var parts []gpu.Discoverer
	if a.settings.GPUEnabled {
		nvidia, err := gpu.OpenOrNone(ctx, gpu.NVMLOptions{LibraryPath: a.settings.GPU.LibraryPath})
		if err != nil {
			return err
		}
		parts = append(parts, nvidia)
	}
	if a.settings.FPGA.Enabled {
		parts = append(parts, gpu.FPGAs("", ""))
		a.injector.FPGATools = a.fpgaTools()
	}
	a.discoverer = gpu.Combine(parts...)
	a.monitor = gpu.NewMonitor(gpu.MonitorConfig{
		Discoverer: a.discoverer, Ledger: a.ledger, Identify: a.identify, Prepare: a.prepare,
		HoldDown: a.settings.GPU.HoldDown, Ignored: gpu.IgnoredXIDs(a.settings.GPU.IgnoredXIDs, a.settings.GPU.CriticalXIDs),
	})
	a.equip(ctx, nil)
	return nil
}

// fpgaTools are the folders of the vendor's tools that this host has.
func (a *accelerators) fpgaTools() []string {
	var found []string
	for _, dir := range []string{a.settings.FPGA.ToolsPath, a.settings.FPGA.VitisPath, a.settings.FPGA.XRTPath} {
		if _, err := os.Stat(dir); err == nil {
			found = append(found, dir)
		}
	}
	return outermost(found)
}

// close lets go of the drivers, after run has returned.
func (a *accelerators) close(ctx context.Context) {
	if err := a.discoverer.Close(); err != nil {
		log.G(ctx).WithError(err).Warn("an accelerator's driver could not be closed")
	}
}

// refreshLimit bounds the passes that calls wait for, beside the trial of a sandbox.
const refreshLimit = 30 * time.Second

// refresh looks at the devices once. Where that fails, run goes on trying.
func (a *accelerators) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, refreshLimit+a.settings.SandboxBootTimeout)
	defer cancel()
	if err := a.monitor.Refresh(ctx); err != nil {
		log.G(ctx).WithError(err).Error("the accelerators cannot be looked at, trying again every few seconds")
	}
}

// recovered says that the pods of an earlier run are known, so that what uses a
// device can be told from strangers.
func (a *accelerators) recovered(ctx context.Context, owner func(container string) (types.UID, bool)) {
	a.owner.Store(&owner)
	a.refresh(ctx)
}

// run keeps watch until ctx ends.
func (a *accelerators) run(ctx context.Context) {
	if !a.settings.GPUEnabled && !a.settings.FPGA.Enabled {
		return
	}
	if err := a.monitor.Run(ctx); err != nil {
		log.G(ctx).WithError(err).Error("the accelerators are not watched any more")
	}
}

// prepare has sandboxes equipped with the devices, and sets aside those that
// could not get into a container. The ledger is told of the devices after it.
func (a *accelerators) prepare(ctx context.Context, devices []gpu.Device) {
	a.settle(ctx, devices)
	a.foreignContainers(ctx, devices)
	usable, aside := a.sort(devices)
	for uuid, reason := range aside {
		if a.aside[uuid] != reason {
			log.G(ctx).WithField("gpu", uuid).Warnf("an accelerator is not offered: %s", reason)
		}
		a.ledger.SetAside([]string{uuid}, reason)
	}
	for uuid := range a.aside {
		if aside[uuid] == "" {
			a.ledger.PutBack([]string{uuid})
		}
	}
	a.aside = maps.Clone(aside)
	a.equip(ctx, usable)
}

func (a *accelerators) equip(ctx context.Context, devices []gpu.Device) {
	in, err := a.injector.Sandbox(devices)
	if err != nil {
		// What describes the devices has changed since they were sorted; the next pass sees it.
		log.G(ctx).WithError(err).Warn("sandboxes cannot be equipped with the accelerators")
		return
	}
	a.sandboxes.SetHardware(hardware(in))
}

func hardware(in gpu.Injection) pool.Hardware {
	return pool.Hardware{Devices: in.EngineDevices(), Mounts: in.EngineMounts(), Env: in.Env, Runtime: in.Runtime, CDIDevices: in.CDIDevices}
}

// sort tells devices that a sandbox can be given from the others, with the reason.
func (a *accelerators) sort(devices []gpu.Device) (usable []gpu.Device, aside map[string]string) {
	aside = map[string]string{}
	if a.works(a.injector, devices) == nil {
		return devices, aside
	}
	for _, d := range devices {
		if d.Resource == "" {
			continue // a partitioned GPU: what counts are its instances
		}
		if err := a.works(a.injector, []gpu.Device{d}); err != nil {
			aside[d.UUID] = oneLine(err)
			continue
		}
		usable = append(usable, d)
	}
	return usable, aside
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// equipper is an Injector or a Strategy.
type equipper interface {
	Sandbox([]gpu.Device) (gpu.Injection, error)
}

// works tells whether a sandbox can get the devices: an engine refuses to start
// a container when one file that it is to be given is not there.
func (a *accelerators) works(e equipper, devices []gpu.Device) error {
	in, err := e.Sandbox(devices)
	if err != nil {
		return err
	}
	return present(in)
}
