package gpu

// Path tells what data between two devices has to cross, the nearest first. The
// order is that of NVML's topology levels.
type Path int

// The paths, from unknown to the nearest.
const (
	PathUnknown Path = iota
	// PathSystem crosses the interconnect between NUMA nodes.
	PathSystem
	// PathNode crosses host bridges of one NUMA node.
	PathNode
	// PathHostBridge crosses one host bridge.
	PathHostBridge
	// PathSwitches crosses several PCIe switches, but no host bridge.
	PathSwitches
	// PathSwitch crosses one PCIe switch.
	PathSwitch
	// PathBoard stays on one board or one GPU.
	PathBoard
)

// Connection is how two devices reach each other.
type Connection struct {
	// NVLinks counts the active NVLinks between the two, directly or through
	// NVSwitches.
	NVLinks int  `json:"nvlinks"`
	Path    Path `json:"path"`
}

// Topology holds the connections between devices. The zero value knows none.
type Topology struct {
	connections map[pair]Connection
}

// pair is two devices by UUID, in the order of their names.
type pair struct{ a, b string }

// pairOf is the pair of two devices, whichever comes first.
func pairOf(a, b string) pair {
	if b < a {
		a, b = b, a
	}
	return pair{a, b}
}

// Connect records the connection between two devices, given by UUID.
func (t *Topology) Connect(a, b string, c Connection) {
	if t.connections == nil {
		t.connections = make(map[pair]Connection)
	}
	t.connections[pairOf(a, b)] = c
}

// Between returns the connection between two devices. MIG instances are as near
// as their GPUs, and those of one GPU share a board; no NVLink reaches an instance.
func (t Topology) Between(a, b Device) Connection {
	if !a.IsMIG() && !b.IsMIG() {
		return t.connections[pairOf(a.UUID, b.UUID)]
	}
	if physical(a) == physical(b) {
		return Connection{Path: PathBoard}
	}
	return Connection{Path: t.connections[pairOf(physical(a), physical(b))].Path}
}

// Merge adds the connections of another topology.
func (t *Topology) Merge(other Topology) {
	for p, c := range other.connections {
		t.Connect(p.a, p.b, c)
	}
}

// physical is the UUID of the GPU that a device is, or is a part of.
func physical(d Device) string {
	if d.IsMIG() {
		return d.ParentUUID
	}
	return d.UUID
}
