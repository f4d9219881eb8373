package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

func TestTopTable(t *testing.T) {
	cores := func(n float64) *float64 { return &n }
	busy, idle, bytes := uint32(90), uint32(10), int64(2048)
	figures := func(c *float64) usage.Figures { return usage.Figures{Cores: c, WorkingSetBytes: 3 << 20} }
	node := figures(cores(2))
	pods := []usage.Pod{{UID: "u1", Namespace: "physics", Name: "fit", Figures: figures(cores(1.25)), Network: &usage.Network{Received: 1024, Sent: 5},
		Storage: &usage.Storage{Bytes: 4096}, Containers: []usage.Container{
			{Name: "main", Figures: figures(cores(1.2)), StorageBytes: &bytes, Devices: []string{"a", "b"}},
			{Name: "side", Figures: figures(nil), Devices: []string{"b"}}}},
		{UID: "u2", Namespace: "physics", Name: "sim", Figures: figures(nil)}}
	for name, c := range map[string]struct {
		report usage.Report
		want   []string
	}{
		"no GPUs": {usage.Report{Pods: pods, Node: &node}, []string{
			"NAMESPACE   POD   CONTAINER   CPU     MEMORY   RECEIVED   SENT   STORAGE",
			"physics     fit   -           1250m   3MiB     1KiB       5B     4KiB",
			"physics     fit   main        1200m   3MiB     -          -      2KiB",
			"physics     fit   side        -       3MiB     -          -      -",
			"physics     sim   -           -       3MiB     -          -      -",
			"all sandboxes together: CPU 2000m, memory 3MiB"}},
		"GPUs": {usage.Report{Pods: pods, Devices: []usage.Device{{UUID: "a", Utilization: &busy, MemoryUsedBytes: 1 << 30, MemoryTotalBytes: 8 << 30},
			{UUID: "b", Utilization: &idle, MemoryTotalBytes: 8 << 30}, {UUID: "c", Utilization: &busy}}}, []string{
			"NAMESPACE   POD   CONTAINER   CPU     MEMORY   RECEIVED   SENT   STORAGE   GPUS   GPU   GPU-MEMORY",
			"physics     fit   -           1250m   3MiB     1KiB       5B     4KiB      2      50%   1GiB/16GiB",
			"physics     fit   main        1200m   3MiB     -          -      2KiB      2      50%   1GiB/16GiB",
			"physics     fit   side        -       3MiB     -          -      -         1      10%   0B/8GiB",
			"physics     sim   -           -       3MiB     -          -      -         -      -     -"}},
		"GPUs that tell nothing": {usage.Report{Pods: pods[:1], Devices: []usage.Device{{UUID: "c"}}}, []string{
			"NAMESPACE   POD   CONTAINER   CPU     MEMORY   RECEIVED   SENT   STORAGE   GPUS   GPU   GPU-MEMORY",
			"physics     fit   -           1250m   3MiB     1KiB       5B     4KiB      2      -     -",
			"physics     fit   main        1200m   3MiB     -          -      2KiB      2      -     -",
			"physics     fit   side        -       3MiB     -          -      -         1      -     -"}},
		"nothing runs": {usage.Report{}, []string{
			"NAMESPACE   POD   CONTAINER   CPU   MEMORY   RECEIVED   SENT   STORAGE", "no pods that run; a new one is shown within 10 seconds"}},
		"not measured": {usage.Report{Trouble: "no groups"}, []string{
			"NAMESPACE   POD   CONTAINER   CPU   MEMORY   RECEIVED   SENT   STORAGE", "what pods use is not measured: no groups"}},
	} {
		if diff := cmp.Diff(c.want, written(t, topTable(c.report, noon))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
