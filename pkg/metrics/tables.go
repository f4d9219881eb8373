package metrics

import "github.com/prometheus/client_golang/prometheus"

// timed is a step with a histogram.
type timed struct {
	step, name, help string
	buckets          []float64
}

// steps are named as pods, pool and images name them.
func steps() []timed {
	return []timed{
		{"start", "pod_start_duration_seconds", "Time from a pod's create to its first main container running.", slow},
		{"delete", "pod_delete_duration_seconds", "Time from a pod's delete until nothing is left of it, its grace included.", slow},
		{"claim", "sandbox_claim_duration_seconds", "Time that a pod waited for its sandbox.", quick},
		{"boot", "sandbox_boot_duration_seconds", "Time to boot a sandbox.", slow},
		{"volumes", "volumes_prepare_duration_seconds", "Time to make a pod's volumes and files ready.", quick},
		{"create container", "container_create_duration_seconds", "Time to create a container, its image in place.", quick},
		{"start container", "container_start_duration_seconds", "Time to start a created container.", quick},
		{"pull", "image_pull_duration_seconds", "Time of an image pull.", slow},
		{"copy image", "image_copy_duration_seconds", "Time to copy an image into a sandbox that cannot share it.", slow},
		{"record", "record_write_duration_seconds", "Time to write a pod's record to disk.", quick},
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
		{"restarting", "container_restarts_total", "Containers that were started again after an end.", nil},
		{"adopted", recoveries, help, kind("pod_adopted")},
		{"lost", recoveries, help, kind("pod_lost")},
		{"sandbox rejoined", recoveries, help, kind("sandbox_rejoined")},
		{"sandbox swept", recoveries, help, kind("sandbox_swept")},
		{"sandbox lost", recoveries, help, kind("sandbox_lost")},
	}
}
