package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/docker/go-units"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// shares are what sandboxes may have of the host.
type shares struct {
	// parent is the control group of all of them, "" where the engine has none.
	parent  string
	version string
	// all bounds them together, each a sandbox until it has its pod's bounds.
	all  cgroup.Bounds
	each engine.Resources
}

const (
	// leastPids is enough for a sandbox with some containers, mostPids for programs with
	// a thread for each of many cores.
	leastPids, mostPids = 1024, 32768
	// leastMemory of all sandboxes together is that of one with its engine, twice.
	leastMemory = 512 << 20
	// usualPids are the kernel's where it does not tell.
	usualPids = 32768
	// hostPidNamespace is what the kernel calls the first one (PROC_PID_INIT_INO).
	hostPidNamespace = "pid:[4026531836]"
)

// sharesOf says what sandboxes of a docker-sd may have of a host with so many
// process ids.
func sharesOf(s config.Config, info engine.Info, pids int64) (shares, error) {
	out := shares{parent: cgroup.ParentOf(info.CgroupDriver, s.Instance), version: info.CgroupVersion}
	memory, ids := s.SystemReserved.MemoryBytes, int64(s.SystemReserved.Pids)
	if memory == 0 {
		memory = max(info.MemoryBytes/20, min(512<<20, info.MemoryBytes/4))
	}
	if ids == 0 {
		ids = pids / 10
	}
	out.all = cgroup.Bounds{MemoryBytes: info.MemoryBytes - memory, Pids: pids - ids, CPUs: info.CPUs}
	if out.all.MemoryBytes < min(leastMemory, info.MemoryBytes/2) {
		return out, fmt.Errorf("SystemReserved.memory: %s of the host's %s leave too little for sandboxes: %w",
			units.BytesSize(float64(memory)), units.BytesSize(float64(info.MemoryBytes)), errdefs.ErrInvalidArgument)
	}
	if out.all.Pids < leastPids {
		return out, fmt.Errorf("SystemReserved.pid: %d of the kernel's %d process ids leave less than the %d of one sandbox: %w",
			ids, pids, leastPids, errdefs.ErrInvalidArgument)
	}
	one := int64(s.PodPidsLimit)
	if one == 0 {
		one = min(max(pids/int64(max(s.MaxPods, 1)), leastPids), mostPids)
	}
	// Less than all have: a pod that takes what it can is then killed for its own bound,
	// and not another one's engine for that of all.
	out.each = engine.Resources{MemoryBytes: out.all.MemoryBytes - out.all.MemoryBytes/20, PidsLimit: min(one, out.all.Pids), CgroupParent: out.parent}
	return out, nil
}

// hostPids is how many process ids the kernel has: of its two limits the lower one. In
// a container with process ids of its own kernel.pid_max is the container's (Linux
// 6.14), and may be far above the host's.
func hostPids(proc string) int64 {
	least := int64(0)
	for _, name := range []string{"pid_max", "threads-max"} {
		text, err := os.ReadFile(proc + "/sys/kernel/" + name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if least == 0 {
		return usualPids
	}
	if namespace, err := os.Readlink(proc + "/self/ns/pid"); err != nil || namespace != hostPidNamespace {
		return min(least, usualPids)
	}
	return least
}

// errNoGroups is why nothing can be bounded or measured.
var errNoGroups = fmt.Errorf("the engine has no control groups: %w", errdefs.ErrNotImplemented)

// bound makes the group above all sandboxes; nil is none that can be bounded from
// here.
func (s shares) bound() (*cgroup.Group, error) {
	if s.parent == "" {
		return nil, errNoGroups
	}
	group, err := cgroup.Find(s.version, s.parent)
	if err != nil {
		return nil, err
	}
	if _, err := group.Bound(s.all); err != nil {
		return nil, err
	}
	return group, nil
}

// boundSandboxes bounds them together before there is one. Where that cannot be done
// from here, there is no group: each has its own bound all the same, and an
// administrator can bound the group by name. An error is one of the configuration.
func (d *daemon) boundSandboxes(ctx context.Context, info engine.Info) (shares, *cgroup.Group, error) {
	s, err := sharesOf(d.settings, info, hostPids("/proc"))
	if err != nil {
		return s, nil, err
	}
	group, err := s.bound()
	if err != nil {
		log.G(ctx).WithError(err).WithField("group", s.parent).
			Warn("all sandboxes together have no bound, each has its own: see \"fair shares\" in docs/operations.md")
		return s, nil, nil
	}
	log.G(ctx).WithField("group", s.parent).WithField("memory", units.BytesSize(float64(s.all.MemoryBytes))).
		WithField("pids", s.all.Pids).Info("all sandboxes together are bounded")
	return s, group, nil
}

// boundPeriod is how often it is seen to that the bounds are still there.
const boundPeriod = 10 * time.Second

// keepBounds sees to that until ctx ends, and once whether sandboxes are where they
// are bounded.
func (d *daemon) keepBounds(ctx context.Context, group *cgroup.Group, s shares) {
	if group == nil {
		return
	}
	tick := time.NewTicker(boundPeriod)
	defer tick.Stop()
	failed, looked := "", false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := group.Bound(s.all)
		switch {
		case err != nil && err.Error() != failed:
			failed = err.Error()
			log.G(ctx).WithError(err).Warn("all sandboxes together may have lost their bound")
		case err == nil && changed:
			failed = ""
			log.G(ctx).WithField("group", group.Name()).Info("the bound of all sandboxes together had been changed, it is set again")
		}
		looked = looked || d.lookWhere(ctx, group)
	}
}

// lookWhere tells when a running sandbox is in another tree of control groups than
// this one; it returns false while there is none to be asked about.
func (d *daemon) lookWhere(ctx context.Context, group *cgroup.Group) bool {
	found, err := d.host.List(ctx, engine.LabelInstance+"="+d.settings.Instance, engine.LabelSandbox)
	if err != nil {
		return false
	}
	for _, c := range found {
		if c.State.Status != engine.StatusRunning {
			continue
		}
		if group.Holds(c.ID) {
			return true
		}
		// One of an earlier version is elsewhere until its pod has ended, and another has
		// just gone.
		seen, err := d.host.Inspect(ctx, c.ID)
		if err != nil || seen.CgroupParent != group.Name() || seen.State.Status != engine.StatusRunning || group.Holds(c.ID) {
			continue
		}
		log.G(ctx).WithField("group", group.Name()).
			Warn("sandboxes are not in the control group that is bounded: the engine's control groups cannot be seen from here, see \"fair shares\" in docs/operations.md")
		return true
	}
	return false
}

// unbound removes the group if no sandbox is left.
func (d *daemon) unbound(ctx context.Context, group *cgroup.Group) {
	if group == nil {
		return
	}
	if err := group.Remove(); err != nil {
		log.G(ctx).WithError(err).Warn("the control group of all sandboxes is left behind")
	}
}
