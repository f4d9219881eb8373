package main

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

func TestSharingOfSettings(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*config.Config)
		want map[string]int64
	}{
		{"none", nil, map[string]int64{gpu.ResourceGPU: 1, gpu.ResourceFPGA: 1}},
		{"time-slicing", func(c *config.Config) {
			c.GPU.Sharing.Strategy, c.GPU.Sharing.RenameByDefault = config.GPUSharingTimeSlicing, true
			c.GPU.Sharing.Resources = []config.SharedResource{{Name: gpu.ResourceGPU, Replicas: 4}}
		}, map[string]int64{"nvidia.com/gpu.shared": 4, gpu.ResourceFPGA: 1}},
		{"FPGAs are shared by all pods", func(c *config.Config) { c.FPGA.DisableBookkeeping, c.MaxPods = true, 7 },
			map[string]int64{gpu.ResourceGPU: 1, gpu.ResourceFPGA: 7}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			settings := config.Default()
			if tc.edit != nil {
				tc.edit(&settings)
			}
			c, err := acceleratorsConfig(settings)
			if err != nil {
				t.Fatal(err)
			}
			ledger := gpu.NewLedger(c.Sharing)
			ledger.Update(gpu.Inventory{Devices: []gpu.Device{{UUID: "GPU-0", Resource: gpu.ResourceGPU}, {UUID: "fpga", Resource: gpu.ResourceFPGA}}})
			if diff := cmp.Diff(tc.want, ledger.Totals()); diff != "" {
				t.Errorf("offered (-want +got):\n%s", diff)
			}
		})
	}
	settings := config.Default()
	settings.GPU.Sharing.Strategy = config.GPUSharingTimeSlicing
	settings.GPU.Sharing.Resources = []config.SharedResource{{Name: gpu.ResourceGPU, Replicas: 2}, {Name: gpu.ResourceGPU, Replicas: 3}}
	if _, err := acceleratorsConfig(settings); !errdefs.IsInvalidArgument(err) {
		t.Errorf("error = %v, want invalid argument for a name that is shared twice", err)
	}
}
