package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

func newPods(o *Options) *cobra.Command {
	return newLook(o, view[admin.Pods]{
		use: "pods", short: "List the pods of the running docker-sd", get: (*admin.Client).Pods, table: podsTable, state: 3,
		long: "pods lists every pod that docker-sd keeps, those too that have ended and wait for their delete.\n" +
			"A container that waits for something or has ended is named with the reason behind the phase.",
	})
}

func newPool(o *Options) *cobra.Command {
	return newLook(o, view[admin.Pool]{
		use: "pool", short: "List the sandboxes of the running docker-sd", get: (*admin.Client).Pool, table: poolTable, state: 1,
		long: "pool lists the sandboxes that wait for pods and those that pods have, and counts those that\nare being made.",
	})
}

func newGPUs(o *Options) *cobra.Command {
	return newLook(o, view[gpu.Snapshot]{
		use: "gpus", short: "List the accelerators of the running docker-sd", get: (*admin.Client).GPUs, table: gpusTable, state: 3,
		long: "gpus lists the accelerators of this host, who holds them, and why one is not given out.",
	})
}

// podsTable has the columns that kubectl has taught people.
func podsTable(list admin.Pods, now time.Time) table {
	t := table{head: []string{"NAMESPACE", "NAME", "READY", "PHASE", "RESTARTS", "AGE", "IP", "UID"}}
	networks := slices.ContainsFunc(list.Pods, func(p podstatus.View) bool { return p.Network != nil })
	if networks {
		t.head = append(t.head, "NETWORK")
	}
	for _, p := range list.Pods {
		ready, all, restarts := 0, 0, int32(0)
		for _, c := range p.Containers {
			restarts += c.Restarts
			if c.Init {
				continue
			}
			all++
			if c.Ready {
				ready++
			}
		}
		cells := []string{p.Namespace, p.Name, fmt.Sprintf("%d/%d", ready, all),
			phase(p), strconv.Itoa(int(restarts)), Age(p.Created, now), p.IP, string(p.UID)}
		if networks {
			cells = append(cells, network(p.Network))
		}
		t.rows = append(t.rows, row{key: string(p.UID), mark: changes(p), cells: cells})
	}
	if len(list.Pods) == 0 {
		t.footer = []string{"no pods"}
	}
	return t
}

// network is the pod's way into its cluster, and why it is alone.
func network(n *podstatus.NetworkView) string {
	switch {
	case n == nil:
		return ""
	case n.Up && n.Address != "":
		return n.Mode + " " + n.Address
	case n.Up:
		return n.Mode
	case n.Error != "":
		return n.Mode + " down: " + n.Error
	}
	return n.Mode + " down"
}

// changes is the mark of a pod: what its tunnel counts and how far a pull is are no changes.
func changes(p podstatus.View) string {
	p.Containers = slices.Clone(p.Containers)
	for i := range p.Containers {
		if c := &p.Containers[i]; c.Pull != nil {
			c.Pull, c.Message = &podstatus.Pull{Unpacking: c.Pull.Unpacking}, ""
		}
	}
	if p.Network != nil {
		still := *p.Network
		still.Handshake, still.Received, still.Sent = time.Time{}, 0, 0
		p.Network = &still
	}
	return mark(p)
}

// phase is the pod's, with the reason of the first container that has one.
func phase(p podstatus.View) string {
	if p.Phase == podstatus.PhaseSucceeded || p.Phase == podstatus.PhaseDeleting {
		return string(p.Phase)
	}
	for _, c := range p.Containers {
		if c.Pull != nil {
			return fmt.Sprintf("%s (%s: %s)", p.Phase, c.Name, bar(*c.Pull))
		}
		if c.Reason == "" || c.Reason == "Completed" || c.Reason == "ContainerCreating" || c.Reason == "PodInitializing" {
			continue
		}
		if c.State == "terminated" && c.ExitCode != nil {
			return fmt.Sprintf("%s (%s: %s %d)", p.Phase, c.Name, c.Reason, *c.ExitCode)
		}
		return fmt.Sprintf("%s (%s: %s)", p.Phase, c.Name, c.Reason)
	}
	return string(p.Phase)
}

// barWidth is the number of characters of a bar.
const barWidth = 20

// bar shows how far a pull is.
func bar(p podstatus.Pull) string {
	done := int(min(max(p.Percent, 0), 100) * barWidth / 100)
	bar := "pulling [" + strings.Repeat("#", done) + strings.Repeat("-", barWidth-done) + "]"
	switch {
	case p.Unpacking:
		return bar + " unpacking " + units.HumanSize(float64(p.Total))
	case p.Total == 0:
		return bar
	case p.AtLeast:
		return fmt.Sprintf("%s %d%% %s of %s or more", bar, p.Percent, units.HumanSize(float64(p.Done)), units.HumanSize(float64(p.Total)))
	}
	return fmt.Sprintf("%s %d%% %s of %s", bar, p.Percent, units.HumanSize(float64(p.Done)), units.HumanSize(float64(p.Total)))
}

// poolTable has a line for each sandbox, and counts below.
func poolTable(p admin.Pool, now time.Time) table {
	t := table{head: []string{"SANDBOX", "STATE", "POD", "AGE", "IP", "CONTAINER"}}
	for _, s := range p.Sandboxes {
		pod := ""
		if s.PodName != "" {
			pod = s.Namespace + "/" + s.PodName
		}
		t.rows = append(t.rows, row{key: s.Name, mark: mark(s), cells: []string{s.Name, s.State, pod, Age(s.Booted, now), s.IP, s.ContainerID[:min(len(s.ContainerID), 12)]}})
	}
	t.footer = []string{fmt.Sprintf("%d warm of %d wanted, %d stand by, %d networks made ahead, %d booting, %d claimed; %d pods wait for one",
		p.Warm, p.Wanted, p.Standby, p.Holders, p.Booting, p.Claimed, p.Waiting)}
	if p.Error != "" {
		t.footer = append(t.footer, "the last boot failed: "+p.Error)
	}
	return t
}

// gpusTable has a line for each device; below are what is free of each resource, and drivers.
func gpusTable(s gpu.Snapshot, _ time.Time) table {
	t := table{head: []string{"UUID", "NAME", "MEMORY", "STATE", "RESOURCE", "PODS", "REASON"}}
	for _, d := range s.Devices {
		memory := ""
		if d.MemoryBytes > 0 {
			memory = units.BytesSize(float64(d.MemoryBytes))
		}
		t.rows = append(t.rows, row{key: d.UUID, mark: mark(d), cells: []string{d.UUID, d.Name, memory, string(d.State), d.Offered,
			strings.Join(d.Holders, ","), strings.Join(d.Reasons, "; ")}})
	}
	for _, resource := range slices.Sorted(maps.Keys(s.Totals)) {
		t.footer = append(t.footer, fmt.Sprintf("%s: %d free of %d", resource, s.Free[resource], s.Totals[resource]))
	}
	for _, d := range s.Drivers {
		line := d.Vendor + " driver " + d.Version
		if d.CUDA != "" {
			line += ", CUDA " + d.CUDA
		}
		t.footer = append(t.footer, line)
	}
	if len(s.Devices) == 0 {
		t.footer = append(t.footer, "no accelerators: they are looked for with GPUENABLED or FPGAEnabled")
	}
	return t
}

// mark is the whole of a thing.
func mark(thing any) string {
	text, err := json.Marshal(thing)
	if err != nil {
		panic(err) // it came as JSON
	}
	return string(text)
}

// Age is how long ago something was, as kubectl writes it.
func Age(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(now.Sub(then), 0))
}
