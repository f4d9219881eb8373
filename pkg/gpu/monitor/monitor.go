// Package monitor keeps the ledger of accelerators up to date: which devices the drivers
// find, which of them are fit for use, and which processes use them.
package monitor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Defaults of Config.
const (
	DefaultInterval = 5 * time.Second
	DefaultHoldDown = 5 * time.Minute
)

// sourceProcesses is the source of foreign uses that the monitor reports.
const sourceProcesses = "processes"

// refreshTimeout bounds a pass of Run.
const refreshTimeout = 30 * time.Second

// Config says what a Monitor watches, and how.
type Config struct {
	Discoverer Discoverer
	Ledger     *gpu.Ledger
	// Identify tells which pod a process of the host belongs to. A process that is
	// ours but of no pod, such as an MPS server, is no use of a device. If nil, all
	// processes are foreign.
	Identify func(ctx context.Context, pid int) (owner string, ours bool)
	// Prepare, if set, is called in every pass with the devices that were found,
	// before the ledger gives them out: a sandbox that was started earlier lacks the
	// nodes of devices that have come since.
	Prepare func(ctx context.Context, devices []gpu.Device)
	// Interval is the time between two passes; 0 means DefaultInterval.
	Interval time.Duration
	// HoldDown is how long a device stays out after a fault before it is probed,
	// and, if it fails the probe, until the next one; 0 means DefaultHoldDown.
	HoldDown time.Duration
	// Ignored are XIDs that are no fault; nil means IgnoredXIDs(nil, nil).
	Ignored XIDs
}

// Monitor keeps a Ledger up to date about devices, their health and their use by others.
type Monitor struct {
	cfg Config
	// turn has one token: passes do not overlap, and a waiting caller can give up.
	turn chan struct{}
	// skipped belongs to the pass that has the turn.
	skipped []string

	mu sync.Mutex
	// ill has the time of the next probe by UUID.
	ill map[string]time.Time
}

// New makes a monitor. Call Refresh before the ledger is used, then Run.
func New(cfg Config) *Monitor {
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.HoldDown == 0 {
		cfg.HoldDown = DefaultHoldDown
	}
	if cfg.Ignored == nil {
		cfg.Ignored = IgnoredXIDs(nil, nil)
	}
	if cfg.Identify == nil {
		cfg.Identify = func(context.Context, int) (string, bool) { return "", false }
	}
	return &Monitor{cfg: cfg, turn: make(chan struct{}, 1), ill: make(map[string]time.Time)}
}

// Run watches and refreshes until ctx ends, and returns when both have stopped.
func (m *Monitor) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { m.watch(ctx); return nil })
	g.Go(func() error { m.tick(ctx); return nil })
	return g.Wait()
}

// tick refreshes every Interval until ctx ends. A failure is logged once, until a refresh
// succeeds.
func (m *Monitor) tick(ctx context.Context) {
	ticker := time.NewTicker(m.cfg.Interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		pass, cancel := context.WithTimeout(ctx, refreshTimeout)
		err := m.Refresh(pass)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.G(ctx).WithError(err).Warn("Cannot look at the accelerators; what was known before stays")
		}
		failing = err != nil
	}
}

// watch handles the events of the drivers until ctx ends, and begins anew when a driver's
// stream breaks off.
func (m *Monitor) watch(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		err := m.cfg.Discoverer.Watch(ctx, func(e Event) { m.handle(ctx, e) })
		if err != nil && !failing {
			log.G(ctx).WithError(err).Warn("Cannot watch the accelerators for faults; trying again")
		}
		failing = err != nil
		if retry.Pause(ctx, m.cfg.Interval) != nil {
			return
		}
	}
}

// handle acts on an event. A fault whose device is not known concerns all.
func (m *Monitor) handle(ctx context.Context, e Event) {
	logger := log.G(ctx).WithField("gpu", e.UUID)
	switch {
	case e.Kind == EventXID && m.cfg.Ignored[e.XID]:
		logger.Infof("Ignoring %s: it is the application's", e.reason())
	case e.Kind == EventUnwatched:
		logger.Warnf("Faults of this device will be noticed late: %s", e.reason())
	case e.Kind == EventDoubt:
		logger.Warnf("Probing all accelerators: %s", e.reason())
		m.probeAll(ctx)
	case e.UUID == "":
		for _, d := range m.cfg.Ledger.All() {
			m.fail(ctx, d, "a device that could not be told reported "+e.reason())
		}
	default:
		m.fail(ctx, gpu.Device{UUID: e.UUID}, e.reason())
	}
}

// probeAll takes the devices out of use that fail a probe.
func (m *Monitor) probeAll(ctx context.Context) {
	for _, d := range m.cfg.Ledger.All() {
		if err := m.cfg.Discoverer.Probe(ctx, d.UUID); err != nil && ctx.Err() == nil {
			m.fail(ctx, d, err.Error())
		}
	}
}

// fail takes a device out until it passes a probe after the hold-down.
func (m *Monitor) fail(ctx context.Context, d gpu.Device, reason string) {
	m.mu.Lock()
	m.ill[d.UUID] = time.Now().Add(m.cfg.HoldDown)
	m.cfg.Ledger.MarkUnhealthy(d.UUID, reason)
	m.mu.Unlock()
	log.G(ctx).WithField("gpu", d.UUID).Warnf("Taking an accelerator out of use for at least %s: %s", m.cfg.HoldDown, reason)
}

// forget ends the hold-down of a device, and its fault.
func (m *Monitor) forget(uuid string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.ill, uuid)
	m.cfg.Ledger.MarkHealthy(uuid)
}

// Refresh makes one pass: devices, processes, and probes that are due. Call it
// before the first use of the ledger; later it may be called at any time, for
// example to see foreign processes just before a reservation. After an error the
// ledger keeps what it knew.
func (m *Monitor) Refresh(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return fmt.Errorf("looking at the accelerators: %w", ctx.Err())
	}
	inv, err := m.cfg.Discoverer.Inventory(ctx)
	if err != nil {
		return fmt.Errorf("listing the accelerators: %w", err)
	}
	m.update(ctx, inv)
	if err := m.processes(ctx); err != nil {
		return err
	}
	m.probeDue(ctx)
	return nil
}

// update enters an inventory in the ledger and acts on devices that have gone.
func (m *Monitor) update(ctx context.Context, inv gpu.Inventory) {
	if m.cfg.Prepare != nil {
		m.cfg.Prepare(ctx, inv.Devices)
	}
	changes := m.cfg.Ledger.Update(inv)
	for _, d := range changes.Lost {
		// A MIG instance goes when an administrator removes it; a GPU does not.
		if d.IsMIG() {
			m.forget(d.UUID)
		} else {
			m.fail(ctx, d, "the driver does not find it any more")
		}
	}
	if !slices.Equal(inv.Skipped, m.skipped) && len(inv.Skipped) > 0 {
		log.G(ctx).Warnf("Some accelerators cannot be used: %s", strings.Join(inv.Skipped, "; "))
	}
	m.skipped = inv.Skipped
}

// processes tells the ledger which devices are used by a process that is not of the pod that
// holds the device.
func (m *Monitor) processes(ctx context.Context) error {
	list, err := m.cfg.Discoverer.Processes(ctx)
	if err != nil {
		return fmt.Errorf("listing the processes on the accelerators: %w", err)
	}
	var uses []gpu.Use
	for _, p := range list {
		owner, ours := m.cfg.Identify(ctx, p.PID)
		by := fmt.Sprintf("process %d", p.PID)
		switch {
		case ours && owner == "":
			continue
		case ours:
			by += " of pod " + owner + ", which does not hold the device"
		default:
			owner = ""
		}
		uses = append(uses, gpu.Use{UUID: p.UUID, Owner: owner, By: by})
	}
	m.cfg.Ledger.SetForeign(sourceProcesses, uses)
	return nil
}

// probeDue probes the devices whose hold-down is over. A device that reports
// another fault meanwhile is not returned.
func (m *Monitor) probeDue(ctx context.Context) {
	for uuid, due := range m.due() {
		err := m.cfg.Discoverer.Probe(ctx, uuid)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			m.fail(ctx, gpu.Device{UUID: uuid}, err.Error())
			continue
		}
		m.mu.Lock()
		still := m.ill[uuid].Equal(due)
		if still {
			delete(m.ill, uuid)
			m.cfg.Ledger.MarkHealthy(uuid)
		}
		m.mu.Unlock()
		if still {
			log.G(ctx).WithField("gpu", uuid).Info("An accelerator is back in use: it passed the probe after its hold-down")
		}
	}
}

// due are the devices whose hold-down is over, with the time at which it ended.
func (m *Monitor) due() map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := make(map[string]time.Time)
	for uuid, at := range m.ill {
		if !time.Now().Before(at) {
			due[uuid] = at
		}
	}
	return due
}
