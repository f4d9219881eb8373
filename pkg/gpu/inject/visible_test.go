package inject_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

func TestVisibleDevices(t *testing.T) {
	devices := append(gputest.Partitioned().Devices, fpga)
	for value, want := range map[string][]string{
		"":              nil,
		"all":           nil,
		"void":          nil,
		"none":          nil,
		"1":             {"GPU-1"},
		"0, 1":          {"GPU-0", "GPU-1"},
		"GPU-1,GPU-1,1": {"GPU-1"},
		"0:1":           {"MIG-1"},
		"MIG-0":         {"MIG-0"},
		"GPU-":          {"GPU-0", "GPU-1"},
		"7,x,0:9,GPU-9": nil,
	} {
		t.Run(value, func(t *testing.T) {
			if diff := cmp.Diff(want, inject.VisibleDevices(value, devices)); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
		})
	}
}
