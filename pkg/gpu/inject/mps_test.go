package inject_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

func TestMPSInjection(t *testing.T) {
	sharing := gpu.Sharing{Strategy: gpu.SharingMPS, Resources: []gpu.SharedResource{{Name: gpu.ResourceGPU, Replicas: 4}}}
	i := inject.Injector{NVIDIA: strategy(t, inject.StrategyRuntime, cdi.Specs{}), Sharing: sharing, MPS: inject.MPS{PipeDir: "/run/mps/pipe", ShmDir: "/run/mps/shm"}}
	in, err := i.Container([]gpu.Device{gpu0})
	if err != nil {
		t.Fatal(err)
	}
	want := inject.Edits{
		Runtime: "nvidia",
		Env: []string{"NVIDIA_VISIBLE_DEVICES=GPU-0", "CUDA_MPS_PIPE_DIRECTORY=/run/mps/pipe",
			"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=10240M"},
		Mounts: []inject.Mount{{Source: "/run/mps/pipe", Target: "/run/mps/pipe"}, {Source: "/run/mps/shm", Target: "/dev/shm"}},
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("injection (-want +got):\n%s", diff)
	}
	sandbox, err := i.Sandbox([]gpu.Device{gpu0})
	if err != nil || !slices.Contains(sandbox.Mounts, inject.Mount{Source: "/run/mps/shm", Target: "/run/mps/shm"}) {
		t.Errorf("sandbox = %+v, %v", sandbox, err)
	}
}
