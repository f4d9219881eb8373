package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

const namespace = "docker_sd"

// gauge describes one that is read at a scrape.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	readyGauge        = gauge("ready", "1 when pods can be taken, 0 when not; /readyz says why.")
	maxPodsGauge      = gauge("max_pods", "Pods that this node takes at a time.")
	podsGauge         = gauge("pods", "Pods that are kept, by phase.", "phase")
	containersGauge   = gauge("containers", "Containers of the pods that are kept, by state.", "state")
	wantedGauge       = gauge("pool_wanted_sandboxes", "Sandboxes that shall wait ready.")
	sandboxesGauge    = gauge("pool_sandboxes", "Sandboxes, by state.", "state")
	waitingGauge      = gauge("pool_waiting_pods", "Pods that wait for a sandbox.")
	acceleratorsGauge = gauge("accelerators", "GPUs and FPGAs of the host, by the resource that they are offered as and by state.", "resource", "state")
	offeredGauge      = gauge("accelerators_offered", "Accelerators that the node reports to the cluster, replicas included.", "resource")
	freeGauge         = gauge("accelerators_free", "Accelerators that can be given out now, replicas included.", "resource")
)

// state reads the gauges from the views that operators see.
type state struct{ source admin.Source }

// Describe is prometheus.Collector's.
func (s *state) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyGauge, maxPodsGauge, podsGauge, containersGauge, wantedGauge, sandboxesGauge,
		waitingGauge, acceleratorsGauge, offeredGauge, freeGauge} {
		out <- d
	}
	describeNetworks(out)
}

// Collect is prometheus.Collector's.
func (s *state) Collect(out chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	info, pool := s.source.Info(), s.source.Pool()
	ready := 0
	if len(info.Troubles) == 0 {
		ready = 1
	}
	set(readyGauge, ready)
	set(maxPodsGauge, info.MaxPods)
	set(wantedGauge, pool.Wanted)
	set(sandboxesGauge, pool.Warm, admin.SandboxWarm)
	set(sandboxesGauge, pool.Booting, "booting")
	set(sandboxesGauge, pool.Standby, "standby")
	set(sandboxesGauge, pool.Claimed, admin.SandboxClaimed)
	set(waitingGauge, pool.Waiting)
	pods := s.source.Pods().Pods
	collectPods(set, pods)
	for _, p := range pods {
		collectNetwork(out, p, time.Now())
	}
	s.collectGPUs(set)
}

func collectPods(set func(*prometheus.Desc, int, ...string), pods []podstatus.View) {
	phases, states := map[podstatus.Phase]int{}, map[string]int{}
	for _, p := range pods {
		phases[p.Phase]++
		for _, c := range p.Containers {
			states[c.State]++
		}
	}
	for _, phase := range podstatus.Phases() {
		set(podsGauge, phases[phase], string(phase))
	}
	for _, state := range []string{"waiting", "running", "terminated"} {
		set(containersGauge, states[state], state)
	}
}

func (s *state) collectGPUs(set func(*prometheus.Desc, int, ...string)) {
	type key struct {
		resource string
		state    gpu.State
	}
	counts := map[key]int{}
	snapshot := s.source.GPUs()
	for _, d := range snapshot.Devices {
		counts[key{d.Offered, d.State}]++
	}
	for k, n := range counts {
		set(acceleratorsGauge, n, k.resource, string(k.state))
	}
	for resource, n := range snapshot.Totals {
		set(offeredGauge, int(n), resource)
	}
	for resource, n := range snapshot.Free {
		set(freeGauge, int(n), resource)
	}
}
