// Package accelerators looks after the host's GPUs and FPGAs: it keeps the ledger up to
// date, chooses the way in which devices get into containers, and has sandboxes equipped
// with what the ledger may give out.
package accelerators

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
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
	// loaders are the drivers that tell what devices do.
	loaders []loader
	// owner tells whose sandbox a container is, once the pods of an earlier run
	// have been found.
	owner atomic.Pointer[func(container string) (types.UID, bool)]

	// These belong to prepare, which never runs twice at a time.
	cordoned map[string]string
	visible  map[string]string
	nextTry  time.Time
	listFail bool
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
