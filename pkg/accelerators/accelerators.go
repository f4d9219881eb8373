// Package accelerators looks after the host's GPUs and FPGAs: it keeps the ledger up to
// date, chooses the way in which devices get into containers, and has sandboxes equipped
// with what the ledger may give out.
package accelerators

import (
	"context"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/nvml"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/sysfs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Config says which accelerators pods may have, and how.
type Config struct {
	// GPUs and FPGAs switch on NVIDIA's GPUs and Xilinx FPGAs. Without either no driver
	// is loaded and nothing is watched.
	GPUs, FPGAs bool
	// Strategy is the name of a way in which GPUs get into containers (see
	// inject.Strategies), and Specs are the CDI specifications that some ways need.
	Strategy string
	Specs    cdi.Specs
	// LibraryPath of NVML; empty is where the dynamic linker finds it.
	LibraryPath string
	// HoldDown is how long a device stays out of use after a fault, and Ignored are the
	// errors of NVIDIA's driver that are none.
	HoldDown time.Duration
	Ignored  monitor.XIDs
	// Sharing says which devices several pods may have at a time. It is the ledger's too.
	Sharing gpu.Sharing
	// MPS is where the host's MPS control daemon is found.
	MPS inject.MPS
	// FPGATools are folders of the host that containers with an FPGA see.
	FPGATools []string
	// BootTimeout bounds the boot of a sandbox in which a strategy is tried.
	BootTimeout time.Duration
}

// Pool is what the accelerators need of the pool of sandboxes.
type Pool interface {
	SetHardware(sandbox.Hardware)
	Try(ctx context.Context, h sandbox.Hardware, check func(context.Context, *sandbox.Sandbox) error) error
}

// Host is what the accelerators need of the host's engine.
type Host interface {
	Info(context.Context) (engine.Info, error)
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Inspect(ctx context.Context, nameOrID string) (engine.Container, error)
}

// Accelerators of this host. The zero value is not usable; see Open.
type Accelerators struct {
	config   Config
	ledger   *gpu.Ledger
	injector inject.Injector
	strategy *strategy
	// proc is where /proc is.
	proc string

	host       Host
	sandboxes  Pool
	discoverer monitor.Discoverer
	monitor    *monitor.Monitor
	// owner tells whose sandbox a container is, once the pods of an earlier run
	// have been found.
	owner atomic.Pointer[func(container string) (types.UID, bool)]

	// These belong to prepare, which never runs twice at a time.
	cordoned map[string]string
	visible  map[string]string
	nextTry  time.Time
	listFail bool
}

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
	a.discoverer = monitor.Combine(parts...)
	a.monitor = monitor.New(monitor.Config{
		Discoverer: a.discoverer, Ledger: a.ledger, Identify: a.identify, Prepare: a.prepare,
		HoldDown: c.HoldDown, Ignored: c.Ignored,
	})
	a.equip(ctx, nil)
	return a, nil
}

// Broker gives the devices of the ledger to pods.
func (a *Accelerators) Broker() Broker {
	return Broker{ledger: a.ledger, injector: a.injector, off: !a.config.GPUs && !a.config.FPGAs}
}

// Close unloads the drivers. Run must have returned.
func (a *Accelerators) Close(ctx context.Context) {
	if err := a.discoverer.Close(); err != nil {
		log.G(ctx).WithError(err).Warn("an accelerator's driver could not be closed")
	}
}

// refreshLimit bounds the passes that calls wait for, beside the trial of a sandbox.
const refreshLimit = 30 * time.Second

// Refresh looks at the devices once. Where that fails, Run goes on trying.
func (a *Accelerators) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, refreshLimit+a.config.BootTimeout)
	defer cancel()
	if err := a.monitor.Refresh(ctx); err != nil {
		log.G(ctx).WithError(err).Error("the accelerators cannot be looked at, trying again every few seconds")
	}
}

// Recovered says that the pods of an earlier run are known, so that a pod that uses a
// device can be told from strangers: owner gives the pod whose sandbox a container is.
func (a *Accelerators) Recovered(ctx context.Context, owner func(container string) (types.UID, bool)) {
	a.owner.Store(&owner)
	a.Refresh(ctx)
}

// Run watches the devices until ctx ends.
func (a *Accelerators) Run(ctx context.Context) {
	if !a.config.GPUs && !a.config.FPGAs {
		return
	}
	if err := a.monitor.Run(ctx); err != nil {
		log.G(ctx).WithError(err).Error("the accelerators are not watched any more")
	}
}

// prepare has sandboxes equipped with the devices, and cordons those that
// could not get into a container. The ledger is told of the devices after it.
func (a *Accelerators) prepare(ctx context.Context, devices []gpu.Device) {
	a.settle(ctx, devices)
	a.foreignContainers(ctx, devices)
	usable, unusable := a.sort(devices)
	for uuid, reason := range unusable {
		if a.cordoned[uuid] != reason {
			log.G(ctx).WithField("gpu", uuid).Warnf("an accelerator is not offered: %s", reason)
		}
		a.ledger.Cordon([]string{uuid}, reason)
	}
	for uuid := range a.cordoned {
		if unusable[uuid] == "" {
			a.ledger.Uncordon([]string{uuid})
		}
	}
	a.cordoned = maps.Clone(unusable)
	a.equip(ctx, usable)
}

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

// sort tells devices that a sandbox can be given from the others, with the reason.
func (a *Accelerators) sort(devices []gpu.Device) (usable []gpu.Device, unusable map[string]string) {
	unusable = map[string]string{}
	if a.works(a.injector, devices) == nil {
		return devices, unusable
	}
	for _, d := range devices {
		if d.Resource == "" {
			continue // a partitioned GPU: what counts are its instances
		}
		if err := a.works(a.injector, []gpu.Device{d}); err != nil {
			unusable[d.UUID] = oneLine(err)
			continue
		}
		usable = append(usable, d)
	}
	return usable, unusable
}

// oneLine is an error without line breaks, for a reason that administrators read in a table.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

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
