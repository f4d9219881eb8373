package main

import (
	"context"
	"path/filepath"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// newMeter makes what measures pods. Where the control groups of sandboxes are not seen
// from here, and where what an earlier run has kept cannot be read, docker-sd goes on.
func (d *daemon) newMeter(ctx context.Context, s shares, accelerators usage.Accelerators) *usage.Meter {
	c := usage.Config{Node: d.settings.Instance, Proc: "/proc", Accelerators: accelerators,
		StatePath: filepath.Join(d.settings.DataRootFolder, usage.FileName), AccountingFile: d.settings.AccountingFile}
	c.Groups, c.Trouble = cgroup.FindTree(s.version, s.parent)
	if s.parent == "" {
		c.Trouble = errNoGroups
	}
	if c.Trouble != nil {
		log.G(ctx).WithError(c.Trouble).Warn("what pods use is not measured")
	}
	meter, err := usage.New(c)
	if err != nil {
		log.G(ctx).WithError(err).Warn("the accounts of what pods use may not be whole")
	}
	return meter
}

// Usage is what pods use.
func (o *observer) Usage() usage.Report {
	o.mu.Lock()
	meter := o.meter
	o.mu.Unlock()
	if meter == nil {
		return usage.Report{Pods: []usage.Pod{}, Starting: true}
	}
	return meter.Report()
}

// measure lets what pods use be seen, and measures it until ctx ends.
func (o *observer) measure(ctx context.Context, meter *usage.Meter, manager *pods.Manager) {
	o.mu.Lock()
	o.meter = meter
	o.mu.Unlock()
	meter.Run(ctx, func() []usage.Subject { return pods.Subjects(manager) })
}
