package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// known describes a metric that has the name and the labels that others have given it, so
// that dashboards for nodes of Kubernetes show these pods as well. There are as many as
// containers and devices, and they go with them.
func known(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// ofContainer names a container as cAdvisor does. Without container and image it is the pod.
var ofContainer = []string{"namespace", "pod", "container", "image"}

// ofInterface names the network of a pod as cAdvisor does.
var ofInterface = []string{"namespace", "pod", "interface"}

// ofDevice names an accelerator as DCGM's exporter does.
var ofDevice = []string{"gpu", "UUID", "device", "modelName", "Hostname", "GPU_I_PROFILE", "GPU_I_ID", "namespace", "pod", "container"}

// The metrics of cAdvisor.
var (
	cpuSeconds   = known("container_cpu_usage_seconds_total", "Processor time that was used. Without container: of the pod's sandbox as a whole.", append([]string{"cpu"}, ofContainer...)...)
	workingSet   = known("container_memory_working_set_bytes", "Memory in use without file pages that have not been used for long.", ofContainer...)
	memoryUsage  = known("container_memory_usage_bytes", "All memory in use, file pages included.", ofContainer...)
	memoryRSS    = known("container_memory_rss", "Memory in use that is of no file.", ofContainer...)
	memoryCache  = known("container_memory_cache", "File pages in use.", ofContainer...)
	memoryLimit  = known("container_spec_memory_limit_bytes", "The container's memory limit, 0 for none.", ofContainer...)
	startTime    = known("container_start_time_seconds", "When the container was started, in Unix time.", ofContainer...)
	lastSeen     = known("container_last_seen", "When the container was looked at last, in Unix time.", ofContainer...)
	fsUsage      = known("container_fs_usage_bytes", "What the container has written to its file system and its log; without container, with the pod's volumes. There for pods whose storage is measured.", append([]string{"device"}, ofContainer...)...)
	received     = known("container_network_receive_bytes_total", "Bytes that the pod received.", ofInterface...)
	receivedPkts = known("container_network_receive_packets_total", "Packets that the pod received.", ofInterface...)
	receivedErrs = known("container_network_receive_errors_total", "Errors while receiving.", ofInterface...)
	receivedDrop = known("container_network_receive_packets_dropped_total", "Packets that were dropped while receiving.", ofInterface...)
	sent         = known("container_network_transmit_bytes_total", "Bytes that the pod sent.", ofInterface...)
	sentPkts     = known("container_network_transmit_packets_total", "Packets that the pod sent.", ofInterface...)
	sentErrs     = known("container_network_transmit_errors_total", "Errors while sending.", ofInterface...)
	sentDrop     = known("container_network_transmit_packets_dropped_total", "Packets that were dropped while sending.", ofInterface...)
)

// The metrics of DCGM's exporter.
var (
	gpuUtil = known("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", ofDevice...)
	gpuUsed = known("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", ofDevice...)
	gpuFree = known("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", ofDevice...)
)

// used reads what pods use.
type used struct {
	node    string
	report  func() usage.Report
	devices func() gpu.Snapshot
}

// ShowUsage adds what pods use, as report tells it, to the metrics. node is the Instance.
func (m *Metrics) ShowUsage(node string, report func() usage.Report, devices func() gpu.Snapshot) {
	m.registry.MustRegister(&used{node: node, report: report, devices: devices})
}

// Describe is prometheus.Collector's.
func (p *used) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cpuSeconds, workingSet, memoryUsage, memoryRSS, memoryCache, memoryLimit, startTime, lastSeen, fsUsage,
		received, receivedPkts, receivedErrs, receivedDrop, sent, sentPkts, sentErrs, sentDrop, gpuUtil, gpuUsed, gpuFree} {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (p *used) Collect(out chan<- prometheus.Metric) {
	report := p.report()
	report.Pods = distinct(report.Pods)
	for _, pod := range report.Pods {
		name := []string{pod.Namespace, pod.Name, "", ""}
		collectFigures(out, pod.Figures, name)
		if pod.Storage != nil {
			gaugeAt(out, fsUsage, time.Time{}, float64(pod.Storage.Bytes), append([]string{""}, name...)...)
		}
		collectInterface(out, pod)
		for _, c := range pod.Containers {
			collectContainer(out, c, []string{pod.Namespace, pod.Name, c.Name, c.Image})
		}
	}
	p.collectDevices(out, report)
}

// distinct has of pods with one name the youngest: one that is being deleted may have a
// successor already, and a scrape with the same labels twice is refused as a whole.
func distinct(list []usage.Pod) (out []usage.Pod) {
	at := map[[2]string]int{}
	for _, p := range list {
		name := [2]string{p.Namespace, p.Name}
		i, twice := at[name]
		switch {
		case !twice:
			at[name] = len(out)
			out = append(out, p)
		case p.Started.After(out[i].Started):
			out[i] = p
		}
	}
	return out
}

// collectFigures has the time at which they were read, as cAdvisor's metrics have: a rate
// of them is then over the time between two looks.
func collectFigures(out chan<- prometheus.Metric, f usage.Figures, name []string) {
	counterAt(out, cpuSeconds, f.Time, float64(f.CPUNanoseconds)/1e9, append([]string{"total"}, name...)...)
	gaugeAt(out, workingSet, f.Time, float64(f.WorkingSetBytes), name...)
	gaugeAt(out, memoryUsage, f.Time, float64(f.MemoryBytes), name...)
	gaugeAt(out, memoryRSS, f.Time, float64(f.RSSBytes), name...)
	gaugeAt(out, memoryCache, f.Time, float64(f.CacheBytes), name...)
	gaugeAt(out, lastSeen, time.Time{}, float64(f.Time.Unix()), name...)
}

func collectContainer(out chan<- prometheus.Metric, c usage.Container, name []string) {
	collectFigures(out, c.Figures, name)
	gaugeAt(out, memoryLimit, time.Time{}, float64(c.MemoryLimitBytes), name...)
	if !c.Started.IsZero() {
		gaugeAt(out, startTime, time.Time{}, float64(c.Started.Unix()), name...)
	}
	if c.StorageBytes != nil {
		gaugeAt(out, fsUsage, time.Time{}, float64(*c.StorageBytes), append([]string{""}, name...)...)
	}
}

func collectInterface(out chan<- prometheus.Metric, pod usage.Pod) {
	n := pod.Network
	if n == nil {
		return
	}
	for desc, value := range map[*prometheus.Desc]uint64{received: n.Received, receivedPkts: n.PacketsIn, receivedErrs: n.ErrorsIn, receivedDrop: n.DroppedIn,
		sent: n.Sent, sentPkts: n.PacketsOut, sentErrs: n.ErrorsOut, sentDrop: n.DroppedOut} {
		counterAt(out, desc, pod.Time, float64(value), pod.Namespace, pod.Name, n.Interface)
	}
}

// collectDevices has a device once for each container that holds it, and once without a
// container if none does.
func (p *used) collectDevices(out chan<- prometheus.Metric, report usage.Report) {
	if len(report.Devices) == 0 {
		return
	}
	about := map[string]gpu.Device{}
	for _, d := range p.devices().Devices {
		about[d.UUID] = d.Device
	}
	for _, load := range report.Devices {
		d := about[load.UUID]
		instance := ""
		if d.Profile != "" {
			instance = strconv.Itoa(d.GPUInstanceID)
		}
		name := []string{strconv.Itoa(d.Minor), load.UUID, "nvidia" + strconv.Itoa(d.Minor), d.Name, p.node, d.Profile, instance}
		holders := holdersOf(load.UUID, report.Pods)
		for _, holder := range holders {
			labels := append(append([]string{}, name...), holder...)
			if load.Utilization != nil {
				gaugeAt(out, gpuUtil, time.Time{}, float64(*load.Utilization), labels...)
			}
			gaugeAt(out, gpuUsed, time.Time{}, float64(load.MemoryUsedBytes>>20), labels...)
			gaugeAt(out, gpuFree, time.Time{}, float64((load.MemoryTotalBytes-min(load.MemoryUsedBytes, load.MemoryTotalBytes))>>20), labels...)
		}
	}
}

// holdersOf are the containers that hold a device, by namespace, pod and name.
func holdersOf(uuid string, list []usage.Pod) (out [][]string) {
	for _, p := range list {
		for _, c := range p.Containers {
			for _, held := range c.Devices {
				if held == uuid {
					out = append(out, []string{p.Namespace, p.Name, c.Name})
				}
			}
		}
	}
	if len(out) == 0 {
		return [][]string{{"", "", ""}}
	}
	return out
}

func counterAt(out chan<- prometheus.Metric, d *prometheus.Desc, at time.Time, value float64, labels ...string) {
	sendAt(out, d, prometheus.CounterValue, at, value, labels)
}

func gaugeAt(out chan<- prometheus.Metric, d *prometheus.Desc, at time.Time, value float64, labels ...string) {
	sendAt(out, d, prometheus.GaugeValue, at, value, labels)
}

// sendAt sends a value of a moment, or of now where that is zero. A value that cannot be
// one, such as of a label that is not UTF-8, is left out.
func sendAt(out chan<- prometheus.Metric, d *prometheus.Desc, kind prometheus.ValueType, at time.Time, value float64, labels []string) {
	m, err := prometheus.NewConstMetric(d, kind, value, labels...)
	if err != nil {
		return
	}
	if !at.IsZero() {
		m = prometheus.NewMetricWithTimestamp(at, m)
	}
	out <- m
}
