package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// ofPod names a pod that is in the network of its cluster. Such metrics go with it.
var ofPod = []string{"namespace", "pod", "uid"}

var (
	networkUpGauge    = gauge("pod_network_up", "1 when the pod is in the network of its cluster, 0 when not; pods that join none are not there.", append([]string{"mode"}, ofPod...)...)
	handshakeGauge    = gauge("pod_network_handshake_age_seconds", "Time since the other end of the pod's mesh last answered; in tunnel mode there is none.", ofPod...)
	receivedCounter   = gauge("pod_network_received_bytes_total", "Payload that the pod's tunnel received since its process was started.", ofPod...)
	sentCounter       = gauge("pod_network_sent_bytes_total", "Payload that the pod's tunnel sent since its process was started.", ofPod...)
	reconnectsCounter = gauge("pod_network_reconnections_total", "How often the pod's tunnel has connected to its server anew.", ofPod...)
)

// describeNetworks is a part of Describe.
func describeNetworks(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{networkUpGauge, handshakeGauge, receivedCounter, sentCounter, reconnectsCounter} {
		out <- d
	}
}

// collectNetwork is the part of Collect for one pod.
func collectNetwork(out chan<- prometheus.Metric, p podstatus.View, now time.Time) {
	n := p.Network
	if n == nil {
		return
	}
	labels := []string{p.Namespace, p.Name, string(p.UID)}
	up := 0.0
	if n.Up {
		up = 1
	}
	out <- prometheus.MustNewConstMetric(networkUpGauge, prometheus.GaugeValue, up, append([]string{n.Mode}, labels...)...)
	if !n.Handshake.IsZero() {
		out <- prometheus.MustNewConstMetric(handshakeGauge, prometheus.GaugeValue, max(now.Sub(n.Handshake).Seconds(), 0), labels...)
	}
	out <- prometheus.MustNewConstMetric(receivedCounter, prometheus.CounterValue, float64(n.Received), labels...)
	out <- prometheus.MustNewConstMetric(sentCounter, prometheus.CounterValue, float64(n.Sent), labels...)
	out <- prometheus.MustNewConstMetric(reconnectsCounter, prometheus.CounterValue, float64(n.Reconnections), labels...)
}
