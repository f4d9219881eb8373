package gpu_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

func slicing(replicas int) gpu.Sharing {
	return gpu.Sharing{Strategy: gpu.SharingTimeSlicing, Resources: []gpu.SharedResource{{Name: gpu.ResourceGPU, Replicas: replicas}}}
}

func TestSharingNames(t *testing.T) {
	renamed := slicing(4)
	renamed.RenameByDefault = true
	own := slicing(4)
	own.Resources[0].Rename = "nvidia.com/gpu-slice"
	tests := []struct {
		name    string
		sharing gpu.Sharing
		want    map[string]int64
	}{
		{"off", gpu.Sharing{}, map[string]int64{"nvidia.com/gpu": 2}},
		{"same name", slicing(4), map[string]int64{"nvidia.com/gpu": 8}},
		{"renamed", renamed, map[string]int64{"nvidia.com/gpu.shared": 8}},
		{"renamed to", own, map[string]int64{"nvidia.com/gpu-slice": 8}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.sharing.Validate(); err != nil {
				t.Fatal(err)
			}
			l := gpu.NewLedger(tc.sharing)
			l.Update(host(2))
			if diff := cmp.Diff(tc.want, l.Totals()); diff != "" {
				t.Errorf("totals (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplicasSpread(t *testing.T) {
	l := gpu.NewLedger(slicing(3))
	l.Update(host(2))
	seen := make(map[string]int)
	units := make(map[string]bool)
	for _, owner := range []string{"a", "b", "c", "d", "e", "f"} {
		a := mustReserve(t, l, owner, ask("main", 1))
		unit := a.Containers["main"][0]
		if units[unit] {
			t.Errorf("replica %s was given twice", unit)
		}
		units[unit] = true
		seen[a.UUIDs("main")[0]]++
		if d := seen[uuid(0)] - seen[uuid(1)]; d < -1 || d > 1 {
			t.Errorf("users of the two GPUs after %s: %v", owner, seen)
		}
	}
	_, err := l.Reserve("g", ask("main", 1))
	if err == nil || !strings.HasPrefix(err.Error(), "asked for 1 nvidia.com/gpu, 0 of 6 free: 6 in use by pods") {
		t.Errorf("error = %v", err)
	}
	l.Release("a")
	mustReserve(t, l, "g", ask("main", 1))
}

func TestReplicasOfOneContainer(t *testing.T) {
	l := gpu.NewLedger(slicing(4))
	l.Update(host(2))
	a := mustReserve(t, l, "pod", ask("main", 3))
	if got := a.UUIDs("main"); len(got) != 2 || len(a.Containers["main"]) != 3 {
		t.Errorf("units %v, want 3 on both GPUs", a.Containers["main"])
	}
	if got := free(l, gpu.ResourceGPU); got != 5 {
		t.Errorf("free = %d, want 5", got)
	}
	restarted := gpu.NewLedger(slicing(4))
	restarted.Update(host(2))
	if err := restarted.Claim("pod", a); err != nil {
		t.Fatal(err)
	}
	if got := free(restarted, gpu.ResourceGPU); got != 5 {
		t.Errorf("free after a restart = %d, want 5", got)
	}
}

func TestSharingSwitchedOnWithRunningPods(t *testing.T) {
	l := gpu.NewLedger(slicing(4))
	l.Update(host(2))
	if err := l.Claim("old", claim(uuid(0))); err != nil {
		t.Fatal(err)
	}
	if got := free(l, gpu.ResourceGPU); got != 4 {
		t.Errorf("free = %d, want 4: a pod has the other GPU for itself", got)
	}
	exclusive := ledgerOf(host(2))
	if err := exclusive.Claim("old", claim(uuid(0)+"::2")); err != nil {
		t.Fatal(err)
	}
	if a := mustReserve(t, exclusive, "new", ask("main", 1)); a.UUIDs("main")[0] != uuid(1) {
		t.Errorf("got %v, of which a pod still has a replica", a)
	}
}

func TestMoreThanOneReplicaRefused(t *testing.T) {
	s := slicing(4)
	s.FailRequestsGreaterThanOne = true
	mps := slicing(4)
	mps.Strategy = gpu.SharingMPS
	for _, sharing := range []gpu.Sharing{s, mps} {
		l := gpu.NewLedger(sharing)
		l.Update(host(2))
		if _, err := l.Reserve("pod", ask("main", 2)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: error = %v, want invalid argument", sharing.Strategy, err)
		}
		mustReserve(t, l, "pod", ask("main", 1))
	}
}

func TestSharingValidate(t *testing.T) {
	one := func(r gpu.SharedResource, s gpu.SharingStrategy) gpu.Sharing {
		return gpu.Sharing{Strategy: s, Resources: []gpu.SharedResource{r}}
	}
	tests := []struct {
		name    string
		sharing gpu.Sharing
		want    string
	}{
		{"resources without a strategy", one(gpu.SharedResource{Name: gpu.ResourceGPU, Replicas: 2}, ""), "no strategy"},
		{"unknown strategy", one(gpu.SharedResource{Name: gpu.ResourceGPU, Replicas: 2}, "magic"), `"magic"`},
		{"one replica", slicing(1), "at least 2"},
		{"no resource name", one(gpu.SharedResource{Name: "gpu", Replicas: 2}, gpu.SharingTimeSlicing), "no resource name"},
		{"MPS on MIG", one(gpu.SharedResource{Name: "nvidia.com/mig-1g.5gb", Replicas: 2}, gpu.SharingMPS), "MPS works for"},
		{"the same name twice", gpu.Sharing{Strategy: gpu.SharingTimeSlicing, Resources: []gpu.SharedResource{
			{Name: gpu.ResourceGPU, Replicas: 2}, {Name: "nvidia.com/mig-1g.5gb", Rename: gpu.ResourceGPU, Replicas: 2}}}, "both be published"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.sharing.Validate()
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want an invalid argument with %q", err, tc.want)
			}
		})
	}
}
