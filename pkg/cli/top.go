package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

func newTop(o *Options) *cobra.Command {
	return newLook(o, view[usage.Report]{
		use: "top", short: "Show what the pods of the running docker-sd use", get: (*admin.Client).Usage, table: topTable, state: 3,
		long: "top shows what pods use: a line for each pod, which is its sandbox with the engine in it, and one\n" +
			"for each of its containers. CPU is in thousandths of a core. Memory is the working set, as kubelet\n" +
			"counts it. Storage is shown of pods for which it is measured, GPU columns if there are GPUs. The\n" +
			"figures are renewed every 10 seconds.",
	})
}

// topTable has what "kubectl top pod --containers" shows, and more.
func topTable(r usage.Report, now time.Time) table {
	t := table{head: []string{"NAMESPACE", "POD", "CONTAINER", "CPU", "MEMORY", "RECEIVED", "SENT", "STORAGE"}}
	gpus := len(r.Devices) > 0
	if gpus {
		t.head = append(t.head, "GPUS", "GPU", "GPU-MEMORY")
	}
	for _, p := range r.Pods {
		received, sent, storage := "", "", ""
		if p.Network != nil {
			received, sent = size(p.Network.Received), size(p.Network.Sent)
		}
		if p.Storage != nil {
			storage = size(uint64(max(p.Storage.Bytes, 0)))
		}
		cells := append([]string{p.Namespace, p.Name, ""}, append(used(p.Figures), received, sent, storage)...)
		var all []string
		for _, c := range p.Containers {
			all = append(all, c.Devices...)
		}
		slices.Sort(all)
		if gpus {
			cells = append(cells, work(slices.Compact(all), r.Devices)...)
		}
		t.rows = append(t.rows, row{key: string(p.UID), mark: fmt.Sprint(cells), cells: cells})
		for _, c := range p.Containers {
			storage := ""
			if c.StorageBytes != nil {
				storage = size(uint64(max(*c.StorageBytes, 0)))
			}
			cells := append([]string{p.Namespace, p.Name, c.Name}, append(used(c.Figures), "", "", storage)...)
			if gpus {
				cells = append(cells, work(c.Devices, r.Devices)...)
			}
			t.rows = append(t.rows, row{key: string(p.UID) + "/" + c.Name, mark: fmt.Sprint(cells), cells: cells})
		}
	}
	t.footer = topFooter(r)
	return t
}

// topFooter says what all sandboxes use together, and why nothing is shown.
func topFooter(r usage.Report) (lines []string) {
	if r.Node != nil {
		cells := used(*r.Node)
		if cells[0] == "" {
			cells[0] = "-"
		}
		lines = append(lines, fmt.Sprintf("all sandboxes together: CPU %s, memory %s", cells[0], cells[1]))
	}
	if r.Trouble != "" {
		return append(lines, "what pods use is not measured: "+r.Trouble)
	}
	if len(r.Pods) == 0 {
		lines = append(lines, "no pods that run; a new one is shown within 10 seconds")
	}
	return lines
}

// used is processor time, in thousandths of a core, and memory. The former is not known of
// what has been looked at once.
func used(f usage.Figures) []string {
	cores := ""
	if f.Cores != nil {
		cores = fmt.Sprintf("%.0fm", *f.Cores*1000)
	}
	return []string{cores, size(f.WorkingSetBytes)}
}

// work is how many of the devices there are, how much they work on average, and their
// memory in use. Nothing is said of what the driver does not tell.
func work(held []string, loads []usage.Device) []string {
	if len(held) == 0 {
		return []string{"", "", ""}
	}
	busy, told, memory, total := 0.0, 0, uint64(0), uint64(0)
	for _, l := range loads {
		if !slices.Contains(held, l.UUID) {
			continue
		}
		memory, total = memory+l.MemoryUsedBytes, total+l.MemoryTotalBytes
		if l.Utilization != nil {
			busy, told = busy+float64(*l.Utilization), told+1
		}
	}
	out := []string{fmt.Sprint(len(held)), "", ""}
	if told > 0 {
		out[1] = fmt.Sprintf("%.0f%%", busy/float64(told))
	}
	if total > 0 {
		out[2] = size(memory) + "/" + size(total)
	}
	return out
}

func size(bytes uint64) string { return units.BytesSize(float64(bytes)) }
