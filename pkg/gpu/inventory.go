package gpu

// Driver describes the driver of a vendor. Fields are empty where unknown.
type Driver struct {
	Vendor  string `json:"vendor"`
	Version string `json:"version,omitempty"`
	CUDA    string `json:"cuda,omitempty"`
}

// Inventory is what a Discoverer found in one pass.
type Inventory struct {
	Devices  []Device
	Topology Topology
	Drivers  []Driver
	// Resources names what is reported as zero when no such device is found.
	Resources []string
	// Skipped has one sentence for each device that exists but cannot be used.
	Skipped []string
}
