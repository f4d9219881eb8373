package admin

import (
	"context"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// Paths of what pods use. The second is kubelet's, with kubelet's answer, the third has
// kubelet's metrics of a node's resources.
const (
	PathUsage     = "/v1/usage"
	PathSummary   = "/stats/summary"
	PathResources = "/metrics/resource"
)

// Usage of pods, as it was measured last. It fails with ErrUnavailable while docker-sd
// starts.
func (c *Client) Usage(ctx context.Context) (usage.Report, error) {
	report, err := get[usage.Report](ctx, c, PathUsage)
	if err == nil && report.Starting {
		err = errStarting
	}
	return report, err
}

// routeUsage adds the routes of what pods use, where that is measured.
func (s *Server) routeUsage(mux *http.ServeMux) {
	if s.config.Usage == nil {
		return
	}
	source := s.config.Source
	mux.HandleFunc("GET "+PathUsage, view(s.config.Usage))
	mux.HandleFunc("GET "+PathSummary, view(func() stats.Summary {
		return summaryOf(source.Info(), s.config.Usage(), source.GPUs())
	}))
	if s.config.Resources != nil {
		mux.Handle("GET "+PathResources, s.config.Resources)
	}
}

// summaryOf writes a report as kubelet does. The node is all sandboxes together, and a
// pod its sandbox with the engine in it.
func summaryOf(info Info, report usage.Report, devices gpu.Snapshot) stats.Summary {
	out := stats.Summary{Node: stats.NodeStats{NodeName: info.Instance, StartTime: metav1.NewTime(info.Started)}, Pods: []stats.PodStats{}}
	if report.Node != nil {
		out.Node.CPU, out.Node.Memory = cpuOf(*report.Node), memoryOf(*report.Node, 0)
	}
	for _, p := range report.Pods {
		pod := stats.PodStats{PodRef: stats.PodReference{Name: p.Name, Namespace: p.Namespace, UID: string(p.UID)}, StartTime: metav1.NewTime(p.Started),
			CPU: cpuOf(p.Figures), Memory: memoryOf(p.Figures, 0), Network: networkOf(p), Containers: []stats.ContainerStats{}}
		if p.Storage != nil {
			pod.EphemeralStorage = &stats.FsStats{Time: metav1.NewTime(p.Storage.Time), UsedBytes: unsigned(p.Storage.Bytes)}
		}
		for _, c := range p.Containers {
			one := stats.ContainerStats{Name: c.Name, StartTime: metav1.NewTime(c.Started), CPU: cpuOf(c.Figures), Memory: memoryOf(c.Figures, c.MemoryLimitBytes),
				Accelerators: acceleratorsOf(c.Devices, report.Devices, devices)}
			if c.StorageBytes != nil {
				one.Rootfs = &stats.FsStats{Time: metav1.NewTime(p.Storage.Time), UsedBytes: unsigned(*c.StorageBytes)}
			}
			pod.Containers = append(pod.Containers, one)
		}
		out.Pods = append(out.Pods, pod)
	}
	return out
}

func unsigned(n int64) *uint64 {
	out := uint64(max(n, 0))
	return &out
}

func cpuOf(f usage.Figures) *stats.CPUStats {
	out := &stats.CPUStats{Time: metav1.NewTime(f.Time), UsageCoreNanoSeconds: &f.CPUNanoseconds}
	if f.Cores != nil {
		nano := uint64(*f.Cores * 1e9)
		out.UsageNanoCores = &nano
	}
	return out
}

// memoryOf has what is available where there is a limit.
func memoryOf(f usage.Figures, limit int64) *stats.MemoryStats {
	out := &stats.MemoryStats{Time: metav1.NewTime(f.Time), UsageBytes: &f.MemoryBytes, WorkingSetBytes: &f.WorkingSetBytes, RSSBytes: &f.RSSBytes}
	if limit > 0 {
		out.AvailableBytes = unsigned(limit - int64(f.WorkingSetBytes))
	}
	return out
}

func networkOf(p usage.Pod) *stats.NetworkStats {
	n := p.Network
	if n == nil {
		return nil
	}
	one := stats.InterfaceStats{Name: n.Interface, RxBytes: &n.Received, RxErrors: &n.ErrorsIn, TxBytes: &n.Sent, TxErrors: &n.ErrorsOut}
	return &stats.NetworkStats{Time: metav1.NewTime(p.Time), InterfaceStats: one, Interfaces: []stats.InterfaceStats{one}}
}

// acceleratorsOf are the devices that a container holds and whose drivers tell what they do.
func acceleratorsOf(held []string, loads []usage.Device, known gpu.Snapshot) []stats.AcceleratorStats {
	var out []stats.AcceleratorStats
	for _, uuid := range held {
		for _, l := range loads {
			if l.UUID != uuid {
				continue
			}
			a := stats.AcceleratorStats{ID: uuid, MemoryTotal: l.MemoryTotalBytes, MemoryUsed: l.MemoryUsedBytes}
			if l.Utilization != nil {
				a.DutyCycle = uint64(*l.Utilization)
			}
			for _, d := range known.Devices {
				if d.UUID == uuid {
					a.Make, a.Model = d.Vendor(), d.Name
				}
			}
			out = append(out, a)
		}
	}
	return out
}
