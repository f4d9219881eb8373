package main

import (
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// TestAllocatable: the downward API shows what the ping answer reports, and both
// variables and volumes get it.
func TestAllocatable(t *testing.T) {
	for name, capacity := range map[string]config.Capacity{"the machine's": {}, "the operator's": {CPU: "2500m", Memory: "3Gi"}} {
		t.Run(name, func(t *testing.T) {
			settings := config.Default()
			settings.Capacity = capacity
			d := &daemon{settings: settings, node: newNode(settings, gpu.NewLedger(gpu.Sharing{})), observer: &observer{}}
			info := engine.Info{CPUs: 7, MemoryBytes: 5 << 30, RootDir: t.TempDir()}
			d.node.setEngine(info)
			told := d.node.ping().Resources
			got := d.podsConfig(info, clusternet.Policy{})
			for _, list := range []v1.ResourceList{got.Node.Allocatable, got.Volumes.Allocatable} {
				if list.Cpu().String() != told.CPU || list.Memory().String() != told.Memory || list.StorageEphemeral().IsZero() {
					t.Errorf("allocatable is %v, ping says cpu %s and memory %s", list, told.CPU, told.Memory)
				}
			}
		})
	}
}
