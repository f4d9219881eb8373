package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// quick are the buckets of what takes milliseconds to seconds, slow of what may
// take minutes.
var (
	quick = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	slow  = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}
)

// timed is a step with a histogram.
type timed struct {
	step, name, help string
	buckets          []float64
}

// steps are named as pods, pool and images name them.
func steps() []timed {
	return []timed{
		{pods.StepStart, "pod_start_duration_seconds", "Time from a pod's create to its first main container running.", slow},
		{pods.StepDelete, "pod_delete_duration_seconds", "Time from a pod's delete until nothing is left of it, its grace included.", slow},
		{pods.StepClaim, "sandbox_claim_duration_seconds", "Time that a pod waited for its sandbox.", quick},
		{pool.StepBoot, "sandbox_boot_duration_seconds", "Time to boot a sandbox.", slow},
		{pods.StepNetwork, "network_join_duration_seconds", "Time until a pod had joined the network of its cluster.", slow},
		{pods.StepVolumes, "volumes_prepare_duration_seconds", "Time to make a pod's volumes and files ready.", quick},
		{pods.StepCreateContainer, "container_create_duration_seconds", "Time to create a container, its image in place.", quick},
		{pods.StepStartContainer, "container_start_duration_seconds", "Time to start a created container.", quick},
		{images.StepPull, "image_pull_duration_seconds", "Time of an image pull.", slow},
		{images.StepCopy, "image_copy_duration_seconds", "Time to copy an image into a sandbox that cannot share it.", slow},
		{pods.StepRecord, "record_write_duration_seconds", "Time to write a pod's record to disk.", quick},
	}
}

// counted is an event with a counter.
type counted struct {
	event, name, help string
	labels            prometheus.Labels
}

// events are named as pods and pool name them.
func events() []counted {
	const recoveries, help = "recoveries_total", "What was found again, cleaned up or lost after a crash or a restart."
	kind := func(kind string) prometheus.Labels { return prometheus.Labels{"kind": kind} }
	return []counted{
		{pods.EventRestarting, "container_restarts_total", "Containers that were started again after an end.", nil},
		{pods.EventAdopted, recoveries, help, kind("pod_adopted")},
		{pods.EventLost, recoveries, help, kind("pod_lost")},
		{"sandbox " + pool.EventRejoined, recoveries, help, kind("sandbox_rejoined")},
		{"sandbox " + pool.EventSwept, recoveries, help, kind("sandbox_swept")},
		{"sandbox " + pool.EventDied, recoveries, help, kind("sandbox_died")},
	}
}
