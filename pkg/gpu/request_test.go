package gpu_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

func quantities(pairs ...string) v1.ResourceList {
	list := make(v1.ResourceList)
	for i := 0; i < len(pairs); i += 2 {
		list[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func TestRequestFor(t *testing.T) {
	always, yes := v1.ContainerRestartPolicyAlways, true
	pod := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{
			{Name: "init", Resources: v1.ResourceRequirements{Limits: quantities("nvidia.com/gpu", "1", "cpu", "500m")}},
			{Name: "side", RestartPolicy: &always, Resources: v1.ResourceRequirements{Requests: quantities("nvidia.com/mig-1g.10gb", "2")}},
		},
		Containers: []v1.Container{
			{Name: "main", Resources: v1.ResourceRequirements{
				Limits:   quantities("nvidia.com/gpu", "2", "memory", "1Gi", "hugepages-2Mi", "4Mi", "xilinx.com/fpga", "0"),
				Requests: quantities("nvidia.com/gpu", "2", "example.kubernetes.io/thing", "1"),
			}},
			{Name: "plain", SecurityContext: &v1.SecurityContext{Privileged: &yes}},
		},
	}}
	got, err := gpu.RequestFor(pod)
	if err != nil {
		t.Fatal(err)
	}
	want := gpu.Request{Containers: []gpu.ContainerRequest{
		{Name: "init", Phase: gpu.PhaseInit, Counts: map[string]int64{"nvidia.com/gpu": 1}},
		{Name: "side", Phase: gpu.PhaseSidecar, Counts: map[string]int64{"nvidia.com/mig-1g.10gb": 2}},
		{Name: "main", Phase: gpu.PhaseMain, Counts: map[string]int64{"nvidia.com/gpu": 2}},
		{Name: "plain", Phase: gpu.PhaseMain, Privileged: true},
	}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if got.Empty() || !(gpu.Request{Containers: want.Containers[3:]}).Empty() {
		t.Error("Empty is wrong")
	}
}

func TestRequestForRefuses(t *testing.T) {
	tests := []struct {
		name string
		need v1.ResourceRequirements
		want string
	}{
		{"fraction", v1.ResourceRequirements{Limits: quantities("nvidia.com/gpu", "500m")}, "500m nvidia.com/gpu"},
		{"negative", v1.ResourceRequirements{Limits: quantities("nvidia.com/gpu", "-1")}, "-1 nvidia.com/gpu"},
		{"absurd", v1.ResourceRequirements{Limits: quantities("nvidia.com/gpu", "9E")}, "9E nvidia.com/gpu"},
		{"limit and request differ", v1.ResourceRequirements{Limits: quantities("nvidia.com/gpu", "2"), Requests: quantities("nvidia.com/gpu", "1")}, "make them equal"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := gpu.RequestFor(&v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main", Resources: tc.need}}}})
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want an invalid argument with %q", err, tc.want)
			}
		})
	}
}

func TestNeed(t *testing.T) {
	type c struct {
		phase gpu.Phase
		n     int64
	}
	tests := []struct {
		name string
		pod  []c
		want int64
	}{
		{"main containers add up", []c{{gpu.PhaseMain, 1}, {gpu.PhaseMain, 2}}, 3},
		{"init containers do not", []c{{gpu.PhaseInit, 2}, {gpu.PhaseInit, 2}, {gpu.PhaseMain, 1}}, 2},
		{"sidecars add to main containers", []c{{gpu.PhaseSidecar, 1}, {gpu.PhaseMain, 2}}, 3},
		{"an init container needs sidecars before it too", []c{{gpu.PhaseSidecar, 1}, {gpu.PhaseInit, 3}, {gpu.PhaseMain, 1}}, 4},
		{"but not those after it", []c{{gpu.PhaseInit, 3}, {gpu.PhaseSidecar, 1}, {gpu.PhaseMain, 1}}, 3},
		{"nothing", nil, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var req gpu.Request
			for _, x := range tc.pod {
				req.Containers = append(req.Containers, gpu.ContainerRequest{Phase: x.phase, Counts: map[string]int64{gpu.ResourceGPU: x.n}})
			}
			if got := req.Need(gpu.ResourceGPU); got != tc.want {
				t.Errorf("Need = %d, want %d", got, tc.want)
			}
		})
	}
}
