package gpu_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
)

// Short names of the hosts and requests of these tests.
var (
	uuid        = gputest.UUID
	host        = gputest.Host
	partitioned = gputest.Partitioned
	ask         = gputest.Ask
	askFor      = gputest.AskFor
	claim       = gputest.Held
	trouble     = gputest.Trouble
)

func ledgerOf(inv gpu.Inventory) *gpu.Ledger {
	l := gpu.NewLedger(gpu.Sharing{})
	l.Update(inv)
	return l
}

func mustReserve(t *testing.T, l *gpu.Ledger, owner string, req gpu.Request) gpu.Assignment {
	t.Helper()
	a, err := l.Reserve(owner, req)
	if err != nil {
		t.Fatalf("Reserve(%s): %v", owner, err)
	}
	return a
}

func free(l *gpu.Ledger, resource string) int64 { return l.Snapshot().Free[resource] }

func TestReserveIsIdempotent(t *testing.T) {
	l := ledgerOf(host(4))
	first := mustReserve(t, l, "pod-a", ask("main", 2))
	again := mustReserve(t, l, "pod-a", ask("main", 2))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("second assignment differs (-first +second):\n%s", diff)
	}
	if got := free(l, gpu.ResourceGPU); got != 2 {
		t.Errorf("free = %d, want 2", got)
	}
	l.Release("pod-a")
	l.Release("pod-a")
	l.Release("never seen")
	if got := free(l, gpu.ResourceGPU); got != 4 {
		t.Errorf("free after release = %d, want 4", got)
	}
}

func TestReserveRefusesWithNumbers(t *testing.T) {
	l := ledgerOf(host(8))
	mustReserve(t, l, "pod-a", ask("main", 5))
	var idle []string
	for _, d := range l.Snapshot().Devices {
		if d.State == gpu.StateFree {
			idle = append(idle, d.UUID)
		}
	}
	l.SetForeign("processes", []gpu.Use{{UUID: idle[0], By: "process 17"}})
	l.MarkUnhealthy(idle[1], "XID 79")
	_, err := l.Reserve("pod-b", ask("main", 2))
	if !errdefs.IsResourceExhausted(err) {
		t.Fatalf("error = %v, want resource exhausted", err)
	}
	want := "asked for 2 nvidia.com/gpu, 1 of 8 free: 5 in use by pods, 1 used by other processes on the host, 1 unhealthy"
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error = %q, want it to begin with %q", err, want)
	}
	if _, err := l.Reserve("pod-c", ask("main", 1)); err != nil {
		t.Errorf("the refused pod must hold nothing: %v", err)
	}
}

func TestReserveRefuses(t *testing.T) {
	tests := []struct {
		name  string
		owner string
		req   gpu.Request
		is    func(error) bool
		want  string
	}{
		{"no owner", "", ask("main", 1), errdefs.IsInvalidArgument, "no owner"},
		{"a resource that the host does not have", "p", askFor("amd.com/gpu", "main", 1), errdefs.IsResourceExhausted, "asked for 1 amd.com/gpu, but this host has none"},
		{"everything if one resource is short", "p", gpu.Request{Containers: []gpu.ContainerRequest{{
			Name: "main", Phase: gpu.PhaseMain, Counts: map[string]int64{gpu.ResourceGPU: 1, gpu.ResourceFPGA: 1}}}},
			errdefs.IsResourceExhausted, "xilinx.com/fpga"},
		{"a privileged container with a part of the GPUs", "p", gpu.Request{Containers: []gpu.ContainerRequest{{
			Name: "root", Phase: gpu.PhaseMain, Privileged: true, Counts: map[string]int64{gpu.ResourceGPU: 1}}}},
			errdefs.IsFailedPrecondition, "container root is privileged and would see all 2 accelerators"},
		{"a privileged container without GPUs", "p", gpu.Request{Containers: []gpu.ContainerRequest{{
			Name: "root", Phase: gpu.PhaseMain, Privileged: true}}},
			errdefs.IsFailedPrecondition, "privileged"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l := ledgerOf(host(2))
			_, err := l.Reserve(tc.owner, tc.req)
			if !tc.is(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q of the right class", err, tc.want)
			}
			if got := free(l, gpu.ResourceGPU); got != 2 {
				t.Errorf("free = %d, want 2: a refused pod holds nothing", got)
			}
		})
	}
}

func TestPrivilegedWithAllDevices(t *testing.T) {
	req := gpu.Request{Containers: []gpu.ContainerRequest{{Name: "root", Phase: gpu.PhaseMain, Privileged: true, Counts: map[string]int64{gpu.ResourceGPU: 2}}}}
	mustReserve(t, ledgerOf(host(2)), "pod", req)

	bare := gpu.Request{Containers: []gpu.ContainerRequest{{Name: "root", Phase: gpu.PhaseMain, Privileged: true}}}
	mustReserve(t, ledgerOf(gpu.Inventory{}), "pod", bare)
}

func TestInitContainersReuse(t *testing.T) {
	l := ledgerOf(host(8))
	count := func(n int64) map[string]int64 { return map[string]int64{gpu.ResourceGPU: n} }
	a := mustReserve(t, l, "pod", gpu.Request{Containers: []gpu.ContainerRequest{
		{Name: "early", Phase: gpu.PhaseInit, Counts: count(3)},
		{Name: "proxy", Phase: gpu.PhaseSidecar, Counts: count(1)},
		{Name: "late", Phase: gpu.PhaseInit, Counts: count(3)},
		{Name: "main", Phase: gpu.PhaseMain, Counts: count(2)},
	}})
	if got := free(l, gpu.ResourceGPU); got != 4 {
		t.Errorf("free = %d, want 4: the pod needs a sidecar's device and three", got)
	}
	for name, want := range map[string]int{"early": 3, "proxy": 1, "late": 3, "main": 2} {
		if got := len(a.UUIDs(name)); got != want {
			t.Errorf("container %s has %d devices, want %d", name, got, want)
		}
	}
	for _, other := range []string{"late", "main"} {
		if share(a.UUIDs("proxy"), a.UUIDs(other)) {
			t.Errorf("sidecar %v and %s %v share a device", a.UUIDs("proxy"), other, a.UUIDs(other))
		}
	}
}

func share(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

func TestAssignmentSurvivesJSON(t *testing.T) {
	l := ledgerOf(host(4))
	a := mustReserve(t, l, "pod", ask("main", 2))
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back gpu.Assignment
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	restarted := ledgerOf(host(4))
	if err := restarted.Claim("pod", back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, mustReserve(t, restarted, "pod", ask("main", 2))); diff != "" {
		t.Errorf("assignment after a restart (-before +after):\n%s", diff)
	}
	if got := free(restarted, gpu.ResourceGPU); got != 2 {
		t.Errorf("free = %d, want 2", got)
	}
}

func TestClaimConflict(t *testing.T) {
	l := ledgerOf(host(2))
	if err := l.Claim("pod-a", claim(uuid(0))); err != nil {
		t.Fatal(err)
	}
	if err := l.Claim("pod-a", claim(uuid(0))); err != nil {
		t.Errorf("repeated claim: %v", err)
	}
	err := l.Claim("pod-b", claim(uuid(0)))
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "pod-a") {
		t.Fatalf("error = %v, want a conflict that names pod-a", err)
	}
	if _, err := l.Reserve("pod-c", ask("main", 2)); err == nil {
		t.Error("a device in conflict was given out")
	}
	l.Release("pod-a")
	if got := free(l, gpu.ResourceGPU); got != 1 {
		t.Errorf("free = %d, want 1 while pod-b still has its claim", got)
	}
	l.Release("pod-b")
	if got := free(l, gpu.ResourceGPU); got != 2 {
		t.Errorf("free = %d, want 2 after both have ended", got)
	}
}

func TestClaimOfMissingDevice(t *testing.T) {
	l := ledgerOf(host(1))
	if err := l.Claim("pod", claim(uuid(0), uuid(1))); !errdefs.IsNotFound(err) {
		t.Fatalf("error = %v, want not found", err)
	}
	if got := trouble(l, "pod"); !strings.Contains(got, "GPU-1 is not found") {
		t.Errorf("trouble = %q, want it to name GPU-1", got)
	}
	l.Update(host(2))
	if got := free(l, gpu.ResourceGPU); got != 0 {
		t.Errorf("free = %d, want 0: the device that came back is the pod's", got)
	}
	if got := trouble(l, "pod"); got != "" {
		t.Errorf("trouble = %q after the device came back", got)
	}
	l.Release("pod")
	if got := free(l, gpu.ResourceGPU); got != 2 {
		t.Errorf("free = %d, want 2", got)
	}
}

func TestClaimAcrossMIG(t *testing.T) {
	l := ledgerOf(partitioned())
	if err := l.Claim("pod-a", claim(uuid(0))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reserve("pod-b", askFor("nvidia.com/mig-3g.20gb", "main", 1)); err == nil {
		t.Error("an instance of a GPU that a pod holds as a whole was given out")
	}
	if err := l.Claim("pod-c", claim("MIG-0")); !errdefs.IsConflict(err) {
		t.Errorf("error = %v, want a conflict with the pod that holds the GPU", err)
	}
}

func TestWholeGPUWithHeldInstance(t *testing.T) {
	inv := partitioned()
	inv.Devices[0].Resource = gpu.ResourceGPU
	l := ledgerOf(inv)
	if err := l.Claim("pod-a", claim("MIG-0")); err != nil {
		t.Fatal(err)
	}
	if got := free(l, gpu.ResourceGPU); got != 1 {
		t.Errorf("free = %d, want 1: a pod holds an instance of the other", got)
	}
	if err := l.Claim("pod-b", claim(uuid(0))); !errdefs.IsConflict(err) {
		t.Errorf("error = %v, want a conflict with the pod that holds an instance", err)
	}
}

// While a pod may hold any device, nobody gets one, and those who hold some keep them.
func TestClaimUnknown(t *testing.T) {
	l := ledgerOf(host(2))
	mustReserve(t, l, "pod-a", ask("main", 1))
	l.ClaimUnknown("pod-x")
	if _, err := l.Reserve("pod-b", ask("main", 1)); !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "set aside") {
		t.Errorf("Reserve() = %v", err)
	}
	if _, err := l.Reserve("pod-b", gpu.Request{}); err != nil {
		t.Errorf("a pod that asks for nothing: %v", err)
	}
	mustReserve(t, l, "pod-a", ask("main", 1))
	if got := free(l, gpu.ResourceGPU); got != 0 {
		t.Errorf("free = %d", got)
	}
	l.Release("pod-x")
	mustReserve(t, l, "pod-b", ask("main", 1))
}
