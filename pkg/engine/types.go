// Package engine is the only place that talks to a Docker engine. The host's
// engine and the engine inside each sandbox are both a [Client].
package engine

import (
	"time"
)

// Spec is what a container is made from. A nil slice or zero value leaves the
// engine's or the image's own setting.
type Spec struct {
	Name     string
	Image    string
	Hostname string
	// Entrypoint and Cmd reach the process as they are, no shell in between.
	// A nil Entrypoint keeps the image's; a set one also drops the image's CMD.
	Entrypoint []string
	Cmd        []string
	Env        []string
	WorkingDir string
	User       string
	Labels     map[string]string
	Stdin      bool
	StdinOnce  bool
	TTY        bool
	StopSignal string
	// Init puts the engine's small init before the process.
	Init bool

	// Network is "host", "none", a network's name, or "container:" and the id of the
	// one whose network it shares.
	Network    string
	DNS        []string
	DNSSearch  []string
	DNSOptions []string
	Ports      []Port

	Mounts  []Mount
	Devices []Device

	CapAdd         []string
	CapDrop        []string
	Privileged     bool
	ReadonlyRootfs bool
	SecurityOpt    []string
	// UnmaskedSystemPaths leaves /proc and /sys as the kernel shows them.
	UnmaskedSystemPaths bool
	GroupAdd            []string
	PIDMode             string
	IPCMode             string
	// PrivateCgroupNamespace hides the host's cgroup tree.
	PrivateCgroupNamespace bool

	Resources Resources
	Log       LogLimits
	Runtime   string
	// CDIDevices are fully qualified CDI names (engine 25 and later).
	CDIDevices []string
}

// Resources are a container's limits; zero means none.
type Resources struct {
	NanoCPUs     int64
	CPUShares    int64
	MemoryBytes  int64
	PidsLimit    int64
	OOMScoreAdj  int
	Ulimits      []Ulimit
	CgroupParent string
}

// Bounds are those of the limits that a container that exists can be given others
// of; zero means none, or none to be changed.
type Bounds struct{ NanoCPUs, CPUShares, MemoryBytes, PidsLimit int64 }

// Bounds of the limits.
func (r Resources) Bounds() Bounds {
	return Bounds{NanoCPUs: r.NanoCPUs, CPUShares: r.CPUShares, MemoryBytes: r.MemoryBytes, PidsLimit: r.PidsLimit}
}

// Ulimit is a resource limit by docker's name, for example nofile.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// LogLimits bounds the engine's log files of one container.
type LogLimits struct {
	MaxBytes int64
	MaxFiles int
}

// Mount is a bind mount, a named or anonymous volume (Volume true; an empty
// Source makes an anonymous one), or a tmpfs (Tmpfs true).
type Mount struct {
	Source      string
	Target      string
	ReadOnly    bool
	Propagation string
	// NonRecursive leaves out the mounts below Source.
	NonRecursive bool
	Volume       bool
	// Instance that a volume belongs to, if this mount makes it.
	Instance string
	Tmpfs    bool
}

// Device is a device node handed to a container; Permissions is any of "rwm".
type Device struct {
	Host        string
	Container   string
	Permissions string
}

// Port publishes a container port on the host.
type Port struct {
	HostIP    string
	Host      uint16
	Container uint16
	Protocol  string
}

// Container is what the engine knows of a container.
type Container struct {
	ID      string
	Name    string
	Image   string
	ImageID string
	Labels  map[string]string
	Created time.Time
	State   State
	// Env, User as it was asked for or is the image's, and the ids in requests for devices
	// such as --gpus makes, are filled by Inspect only.
	Env       []string
	User      string
	DeviceIDs []string
	// NetworkOf is the container whose network it shares, "" for one that has its own.
	NetworkOf string
	// IPs maps network names to the container's IPv4 address.
	IPs map[string]string
	// Bounds and CgroupParent are filled by Inspect only.
	Bounds       Bounds
	CgroupParent string
}

// Status of a container, as the engine names it.
type Status string

// Those of the states that an engine reports (Docker API, ContainerState.Status) that
// docker-sd tells apart.
const (
	StatusCreated    Status = "created"
	StatusRunning    Status = "running"
	StatusPaused     Status = "paused"
	StatusRestarting Status = "restarting"
	StatusExited     Status = "exited"
	StatusDead       Status = "dead"
)

// State of a container at one moment.
type State struct {
	Status     Status
	ExitCode   int
	OOMKilled  bool
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
	// PID of the first process as the engine's host sees it, 0 if there is none.
	PID int
}

// Alive says whether the container's process exists.
func (s State) Alive() bool {
	return s.Status == StatusRunning || s.Status == StatusPaused || s.Status == StatusRestarting
}

// Image is what the engine knows of an image.
type Image struct {
	ID      string
	Tags    []string
	Digests []string
	User    string
	Env     []string
	Size    int64
	// Layers are the names of the folders that hold its layers, topmost first,
	// with the storage driver overlay2 only.
	Layers []string
	// Parent is the image that it was built on, where the engine knows; filled by
	// Images only.
	Parent string
}

// Network is a network's identity and its first IPv4 subnet, "" if it has none.
type Network struct {
	ID      string
	Name    string
	Labels  map[string]string
	Subnet  string
	Created time.Time
	// Bridge is the name of its interface on the host, "" if it is no bridge.
	Bridge string
	// MTU bounds its packets, 0 where the engine's own default does.
	MTU int
}

// NetworkSpec is a network to make.
type NetworkSpec struct {
	Name string
	// Subnet of its addresses, "" for one that the engine chooses.
	Subnet string
	// Bridge names its interface on the host, "" for the engine's name.
	Bridge string
	// MTU is the largest packet that it carries, in bytes; 0 leaves that to the engine.
	MTU    int
	Labels map[string]string
}

// Info is what docker-sd needs to know of an engine and its host.
type Info struct {
	Version       string
	APIVersion    string
	StorageDriver string
	RootDir       string
	CPUs          int
	MemoryBytes   int64
	LiveRestore   bool
	Runtimes      []string
	// CDISpecDirs is empty for an engine that does not support CDI.
	CDISpecDirs   []string
	CgroupVersion string
	CgroupDriver  string
	// Seccomp says that the engine can filter the system calls of containers.
	Seccomp bool
	// AppArmor says that the engine puts profiles on containers.
	AppArmor bool
	// Containerd has the engine's containers, and its images too where StorageDriver is one
	// of containerd's snapshotters. It is empty for engines before 27.
	Containerd Containerd
	// ContainerdImages says that the engine's images are in containerd's store.
	ContainerdImages bool
}

// Containerd is where an engine's containerd is, on its host, and the namespace there that
// the engine uses.
type Containerd struct{ Address, Namespace string }
