package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// The metrics of kubelet's /metrics/resource.
var (
	resourceOf        = []string{"container", "namespace", "pod"}
	nodeCPU           = known("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds")
	nodeMemory        = known("node_memory_working_set_bytes", "Current working set of the node in bytes")
	resourceCPU       = known("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", resourceOf...)
	resourceMemory    = known("container_memory_working_set_bytes", "Current working set of the container in bytes", resourceOf...)
	resourceStart     = known("container_start_time_seconds", "Start time of the container since unix epoch in seconds", resourceOf...)
	resourcePodCPU    = known("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", "namespace", "pod")
	resourcePodMemory = known("pod_memory_working_set_bytes", "Current working set of the pod in bytes", "namespace", "pod")
	resourceError     = known("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise")
)

// resources reads what kubelet tells of a node's resources.
type resources struct{ report func() usage.Report }

// Resources answers a scrape of a node's resources as kubelet does.
func Resources(report func() usage.Report) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(resources{report})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// Describe is prometheus.Collector's.
func (resources) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{nodeCPU, nodeMemory, resourceCPU, resourceMemory, resourceStart, resourcePodCPU, resourcePodMemory, resourceError} {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (r resources) Collect(out chan<- prometheus.Metric) {
	report, failed := r.report(), 0.0
	if report.Node == nil {
		failed = 1
	} else {
		counterAt(out, nodeCPU, report.Node.Time, float64(report.Node.CPUNanoseconds)/1e9)
		gaugeAt(out, nodeMemory, report.Node.Time, float64(report.Node.WorkingSetBytes))
	}
	gaugeAt(out, resourceError, time.Time{}, failed)
	for _, p := range distinct(report.Pods) {
		counterAt(out, resourcePodCPU, p.Time, float64(p.CPUNanoseconds)/1e9, p.Namespace, p.Name)
		gaugeAt(out, resourcePodMemory, p.Time, float64(p.WorkingSetBytes), p.Namespace, p.Name)
		for _, c := range p.Containers {
			counterAt(out, resourceCPU, c.Time, float64(c.CPUNanoseconds)/1e9, c.Name, p.Namespace, p.Name)
			gaugeAt(out, resourceMemory, c.Time, float64(c.WorkingSetBytes), c.Name, p.Namespace, p.Name)
			if !c.Started.IsZero() {
				gaugeAt(out, resourceStart, c.Started, float64(c.Started.UnixNano())/1e9, c.Name, p.Namespace, p.Name)
			}
		}
	}
}
