package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

func TestThresholds(t *testing.T) {
	c := config.Default()
	want := []config.Threshold{{Signal: "imagefs.available", Percent: 15}, {Signal: "nodefs.available", Percent: 10}, {Signal: "nodefs.inodesFree", Percent: 5}}
	if diff := cmp.Diff(want, c.Thresholds()); diff != "" {
		t.Errorf("kubelet's (-want +got):\n%s", diff)
	}
	c.EvictionHard = map[string]string{"nodefs.available": "1Gi", "nodefs.inodesFree": "0%", "imagefs.available": "100%", "imagefs.inodesFree": "2.5%"}
	want = []config.Threshold{{Signal: "imagefs.inodesFree", Percent: 2.5}, {Signal: "nodefs.available", Amount: 1 << 30}}
	if diff := cmp.Diff(want, c.Thresholds()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
