package gpu

import (
	"cmp"
	"slices"
)

// maxCombinations bounds the exhaustive search; above it a greedy one is used.
// Sixteen GPUs have at most 12870 choices, so whole GPUs are searched in full.
const maxCombinations = 13000

// comparison says which of two choices is better: negative for the first.
type comparison struct {
	name    string
	compare func(a, b score) int
}

// policy decides between choices: the first comparison that differs wins. The
// first three bring devices of one container close together; "bonds cut" is the
// fragmentation: it counts the connections between what is taken and what is
// left, so that pairs and islands stay whole for whoever comes next.
var policy = []comparison{
	{"weakest NVLink", func(a, b score) int { return cmp.Compare(b.weakestLink, a.weakestLink) }},
	{"most NVLinks", func(a, b score) int { return cmp.Compare(b.links, a.links) }},
	{"nearest over PCIe", func(a, b score) int { return cmp.Compare(b.worstPath, a.worstPath) }},
	{"fewest NUMA nodes", func(a, b score) int { return cmp.Compare(a.nodes, b.nodes) }},
	{"fewest bonds cut", func(a, b score) int { return cmp.Compare(a.cut, b.cut) }},
	{"first by place", func(a, b score) int { return slices.Compare(a.places, b.places) }},
}

// better says whether the policy prefers a to b: the first criterion that tells them apart
// decides.
func better(a, b score) bool {
	for _, c := range policy {
		if by := c.compare(a, b); by != 0 {
			return by < 0
		}
	}
	return false
}

// score is all that the policy looks at.
type score struct {
	weakestLink int
	links       int
	worstPath   Path
	nodes       int
	cut         int
	places      []int
}

// linkBond weighs an NVLink against PCIe paths in the cut, as one more than the
// best of them, so that NVLinks are spared first.
const linkBond = int(PathBoard) + 1

// field is the free devices in place order with the connections between them.
type field struct {
	devices []Device
	between [][]Connection
}

// newField arranges free devices by their place on the host, with the connection of each pair.
func newField(t Topology, free []Device) field {
	f := field{devices: slices.Clone(free), between: make([][]Connection, len(free))}
	slices.SortFunc(f.devices, byPlace)
	for i, a := range f.devices {
		f.between[i] = make([]Connection, len(free))
		for j, b := range f.devices {
			f.between[i][j] = t.Between(a, b)
		}
	}
	return f
}

// rate scores the choice of some positions of the field.
func (f field) rate(chosen []int) score {
	s := score{places: chosen}
	in := make([]bool, len(f.devices))
	for n, i := range chosen {
		in[i] = true
		if !slices.ContainsFunc(chosen[:n], func(j int) bool { return f.devices[j].NUMANode == f.devices[i].NUMANode }) {
			s.nodes++
		}
	}
	first := true
	for n, i := range chosen {
		for j, c := range f.between[i] {
			if !in[j] {
				s.cut += c.NVLinks*linkBond + int(c.Path)
			}
		}
		for _, j := range chosen[n+1:] {
			c := f.between[i][j]
			s.links += c.NVLinks
			if first || c.NVLinks < s.weakestLink {
				s.weakestLink = c.NVLinks
			}
			if first || c.Path < s.worstPath {
				s.worstPath = c.Path
			}
			first = false
		}
	}
	return s
}

// choose picks n of the free devices by the policy. It returns nil if there are
// fewer than n.
func choose(t Topology, free []Device, n int) []Device {
	if n <= 0 || n > len(free) {
		return nil
	}
	f := newField(t, free)
	var best []int
	if combinations(len(free), n) <= maxCombinations {
		best = f.searchAll(n)
	} else {
		best = f.searchGreedy(n)
	}
	chosen := make([]Device, 0, n)
	for _, i := range best {
		chosen = append(chosen, f.devices[i])
	}
	return chosen
}

// searchAll rates every choice of n devices and returns the positions of the best one.
func (f field) searchAll(n int) []int {
	chosen := make([]int, n)
	for i := range chosen {
		chosen[i] = i
	}
	best := f.rate(slices.Clone(chosen))
	for next(chosen, len(f.devices)) {
		if s := f.rate(chosen); better(s, best) {
			s.places = slices.Clone(chosen)
			best = s
		}
	}
	return best.places
}

// next advances to the next combination in lexical order.
func next(chosen []int, of int) bool {
	n := len(chosen)
	for i := n - 1; i >= 0; i-- {
		if chosen[i] < of-n+i {
			chosen[i]++
			for j := i + 1; j < n; j++ {
				chosen[j] = chosen[j-1] + 1
			}
			return true
		}
	}
	return false
}

// searchGreedy adds the best device n times; it serves hosts with dozens of MIG
// instances, where closeness between GPUs does not matter.
func (f field) searchGreedy(n int) []int {
	var chosen []int
	for len(chosen) < n {
		var best score
		for i := range f.devices {
			if slices.Contains(chosen, i) {
				continue
			}
			with := append(slices.Clone(chosen), i)
			slices.Sort(with)
			if s := f.rate(with); best.places == nil || better(s, best) {
				best = s
			}
		}
		chosen = best.places
	}
	return chosen
}

// combinations counts the choices of k out of n, or stops above maxCombinations.
func combinations(n, k int) int {
	k = min(k, n-k)
	total := 1
	for i := 1; i <= k; i++ {
		total = total * (n - k + i) / i
		if total > maxCombinations {
			return total
		}
	}
	return total
}
