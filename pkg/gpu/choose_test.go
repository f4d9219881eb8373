package gpu

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wiring describes a host: the connection of two GPUs by their numbers, and the
// NUMA node of each.
type wiring struct {
	gpus    int
	connect func(a, b int) Connection
	node    func(i int) int
}

func (w wiring) build(free []int) (Topology, []Device) {
	var t Topology
	all := make([]Device, w.gpus)
	for i := range all {
		all[i] = Device{UUID: fmt.Sprintf("GPU-%d", i), PCIBusID: fmt.Sprintf("0000:%02x:00.0", i), NUMANode: w.node(i)}
		for j := range i {
			t.Connect(all[i].UUID, all[j].UUID, w.connect(i, j))
		}
	}
	var list []Device
	for _, i := range free {
		list = append(list, all[i])
	}
	return t, list
}

func all(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// wantChoice has n chosen of the free ones.
func wantChoice(t *testing.T, on wiring, indices []int, n int, wanted []int) {
	t.Helper()
	topology, free := on.build(indices)
	slices.Reverse(free)
	var got, want []string
	for _, d := range choose(topology, free, n) {
		got = append(got, d.UUID)
	}
	for _, i := range wanted {
		want = append(want, fmt.Sprintf("GPU-%d", i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("choice (-want +got):\n%s", diff)
	}
}

func TestChoose(t *testing.T) {
	oneNode := func(int) int { return 0 }
	halves := func(i int) int { return i / 4 }
	pairs := wiring{4, func(a, b int) Connection {
		if a/2 == b/2 {
			return Connection{NVLinks: 4, Path: PathNode}
		}
		return Connection{Path: PathNode}
	}, oneNode}
	// Pairs below a PCIe switch, four GPUs for each NUMA node.
	pcie := wiring{8, func(a, b int) Connection {
		switch {
		case a/2 == b/2:
			return Connection{Path: PathSwitch}
		case a/4 == b/4:
			return Connection{Path: PathNode}
		}
		return Connection{Path: PathSystem}
	}, halves}
	// All GPUs reach each other through NVSwitches.
	switched := wiring{8, func(a, b int) Connection { c := pcie.connect(a, b); c.NVLinks = 12; return c }, halves}
	// GPU 1 has two links to 2, all others have one, as in a cube mesh.
	uneven := wiring{4, func(a, b int) Connection {
		if min(a, b) == 1 && max(a, b) == 2 {
			return Connection{NVLinks: 2, Path: PathNode}
		}
		return Connection{NVLinks: 1, Path: PathNode}
	}, oneNode}
	// A triangle of single links, and a chain of strong ones.
	chain := wiring{7, func(a, b int) Connection {
		switch {
		case max(a, b) <= 2:
			return Connection{NVLinks: 1, Path: PathNode}
		case min(a, b) >= 3 && a-b == 1:
			return Connection{NVLinks: 4, Path: PathNode}
		}
		return Connection{Path: PathNode}
	}, oneNode}
	// Nothing but the NUMA nodes is known, and they alternate.
	nodesOnly := wiring{4, func(int, int) Connection { return Connection{} }, func(i int) int { return i % 2 }}
	unknown := wiring{4, func(int, int) Connection { return Connection{} }, func(int) int { return UnknownNUMANode }}

	tests := []struct {
		name string
		on   wiring
		free []int
		n    int
		want []int
	}{
		{"one of a broken pair, to spare whole pairs", pairs, []int{0, 1, 3}, 1, []int{3}},
		{"a pair", pairs, []int{0, 2, 3}, 2, []int{2, 3}},
		{"the first of equals", pairs, all(4), 1, []int{0}},
		{"more links", uneven, all(4), 2, []int{1, 2}},
		{"no weak link rather than many links", chain, all(6), 3, []int{0, 1, 2}},
		{"many links if there is a weak one anyway", chain, []int{0, 1, 3, 4, 5, 6}, 3, []int{3, 4, 5}},
		{"one NUMA node where nothing else is known", nodesOnly, all(4), 2, []int{0, 2}},
		{"a PCIe switch", pcie, []int{0, 2, 3, 5, 7}, 2, []int{2, 3}},
		{"one NUMA node", pcie, []int{1, 3, 4, 5, 6, 7}, 4, []int{4, 5, 6, 7}},
		{"the broken half for one", pcie, []int{0, 1, 2, 3, 5}, 1, []int{5}},
		{"PCIe decides among equal NVLinks", switched, []int{0, 2, 3, 6}, 2, []int{2, 3}},
		{"all", switched, all(8), 8, all(8)},
		{"without any topology", unknown, all(4), 2, []int{0, 1}},
		{"too many", pairs, []int{0, 1}, 3, nil},
		{"none", pairs, all(4), 0, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			wantChoice(t, tc.on, tc.free, tc.n, tc.want)
		})
	}
}

// Instances are taken from the GPU that has the fewest left, so that whole GPUs
// stay free to be partitioned anew.
func TestChoosePacksInstances(t *testing.T) {
	var free []Device
	for i, instances := range []int{7, 2, 7, 7, 7, 7, 7, 7} {
		for j := range instances {
			free = append(free, Device{UUID: fmt.Sprintf("MIG-%d-%d", i, j), ParentUUID: fmt.Sprintf("GPU-%d", i),
				PCIBusID: fmt.Sprintf("0000:%02x:00.0", i), GPUInstanceID: j})
		}
	}
	for _, tc := range []struct {
		n    int
		want []string
	}{
		{1, []string{"MIG-1-0"}},
		{2, []string{"MIG-1-0", "MIG-1-1"}},
		{4, []string{"MIG-0-0", "MIG-0-1", "MIG-1-0", "MIG-1-1"}},
	} {
		t.Run(fmt.Sprint(tc.n), func(t *testing.T) {
			var got []string
			for _, d := range choose(Topology{}, free, tc.n) {
				got = append(got, d.UUID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("choice (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCombinations(t *testing.T) {
	for _, tc := range []struct{ n, k, want int }{{8, 2, 28}, {8, 8, 1}, {16, 8, 12870}, {5, 0, 1}} {
		if got := combinations(tc.n, tc.k); got != tc.want {
			t.Errorf("combinations(%d, %d) = %d, want %d", tc.n, tc.k, got, tc.want)
		}
	}
	if got := combinations(56, 28); got <= maxCombinations {
		t.Errorf("combinations(56, 28) = %d, want more than %d", got, maxCombinations)
	}
}
