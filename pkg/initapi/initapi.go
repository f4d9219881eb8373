// Package initapi is how docker-sd speaks with the init of a sandbox: one JSON
// request and one JSON answer for each connection to a socket in the sandbox's
// folder. A sandbox outlives upgrades of docker-sd, so requests and answers only
// ever gain fields, and an init answers an operation that it does not know with
// KindUnknown.
package initapi

import (
	"strconv"
	"time"
)

// Version of the protocol. It changes when an operation means something else.
const Version = 1

// SocketName of the init in a sandbox's folder.
const SocketName = "init.sock"

// The operations. Each has a field of Request of its own, but for OpStatus.
const (
	OpStatus = "status"
	OpStart  = "start"
	OpCheck  = "check"
	OpPin    = "pin"
	OpTmpfs  = "tmpfs"
	OpShm    = "shm"
	OpSysctl = "sysctl"
	OpKill   = "kill"
	// OpFuse lets containers mount FUSE file systems, and answers with what they need for it.
	OpFuse = "fuse"
	// OpEndFuse ends all FUSE file systems of the sandbox, and lets no others be mounted.
	OpEndFuse = "endFuse"
	// OpGroupOOM has the kernel kill all of a container where it kills one of its processes
	// for memory; without control groups of version 2 it does nothing.
	OpGroupOOM = "groupOOM"
	// OpAmend has AmendingRuntime give a container what the engine has no option for. It is
	// asked for before the container is started; the same again is none.
	OpAmend = "amend"
	// OpHugePages bounds the huge pages of the pod's containers, which have none before.
	OpHugePages = "hugePages"
	// OpHugetlbfs mounts a volume of huge pages.
	OpHugetlbfs = "hugetlbfs"
	// OpMeasure answers with an error beside the usage of what was seen before it.
	OpMeasure = "measure"
	// OpImage mounts the layers of an image at the place of a volume, once.
	OpImage = "image"
	// OpTunnel starts the tunnel of the sandbox, or changes it; the same wish again is none.
	OpTunnel = "tunnel"
	// OpTunnelState answers with the tunnel's state.
	OpTunnelState = "tunnelState"
	// OpRead answers with what is in a file.
	OpRead = "read"
	// OpGroup makes the control group of the pod's containers, or bounds it anew.
	OpGroup = "group"
)

// Request is one call.
type Request struct {
	Version int    `json:"version"`
	Op      string `json:"op"`
	// Current, of OpStart, says that the host's images are those that the standby shares.
	Current bool `json:"current,omitempty"`
	// Source is what OpCheck, OpPin and OpRead open.
	Source *Source `json:"source,omitempty"`
	// Place names the private mount point of OpPin: CONTAINER/NUMBER.
	Place  string            `json:"place,omitempty"`
	Tmpfs  *Tmpfs            `json:"tmpfs,omitempty"`
	Shm    int64             `json:"shm,omitempty"`
	Sysctl map[string]string `json:"sysctl,omitempty"`
	// Folder of OpMeasure is a path inside the sandbox that no pod can change.
	Folder string `json:"folder,omitempty"`
	// Fuse of OpFuse is a folder of the sandbox with the pod's emptyDirs in it.
	Fuse string `json:"fuse,omitempty"`
	// Container of OpGroupOOM is the id of a container that runs.
	Container string `json:"container,omitempty"`
	// PID of OpKill leads a session; it is a process id inside the sandbox.
	PID int `json:"pid,omitempty"`
	// Port of OpConnect.
	Port   uint16  `json:"port,omitempty"`
	Tunnel *Tunnel `json:"tunnel,omitempty"`
	Group  *Group  `json:"group,omitempty"`
	// Limit of OpRead in bytes: a file that has more is an error.
	Limit int64  `json:"limit,omitempty"`
	Image *Image `json:"image,omitempty"`
	NFS   *NFS   `json:"nfs,omitempty"`
	// Amendment of OpAmend, HugePages of OpHugePages and Hugetlbfs of OpHugetlbfs.
	Amendment *Amendment  `json:"amendment,omitempty"`
	HugePages []HugePages `json:"hugePages,omitempty"`
	Hugetlbfs *Hugetlbfs  `json:"hugetlbfs,omitempty"`
}

// Control groups of a sandbox, below that of its container on the host.
const (
	// ChildGroup is the group that all of the sandbox runs in. What bounds the sandbox is
	// set on the one above it, which nobody inside can name.
	ChildGroup = "sandbox"
	// LeafGroup, below ChildGroup, holds the sandbox's own processes with version 2, where
	// a group that has members cannot give controllers to others.
	LeafGroup = "init"
	// EngineGroup, below ChildGroup, is where the sandbox's engine makes the groups of
	// containers that name no other parent.
	EngineGroup = "docker"
	// GroupPath is the control group of the pod's containers, where OpGroup has made it, as
	// the engine names the parent of a container's group; seen from the host it is below
	// ChildGroup.
	GroupPath = "/pod"
)

// Group bounds all containers of the pod together; zero is no bound.
type Group struct {
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	NanoCPUs    int64 `json:"nanoCPUs,omitempty"`
}

// Amendment is what a container gets beside what its engine gives it.
type Amendment struct {
	// Container is its id.
	Container string `json:"container"`
	// AppArmor is the profile of its processes, one of the sandbox's AppArmor namespace; ""
	// leaves that to the engine.
	AppArmor string `json:"appArmor,omitempty"`
	// HugePages bound it, by size of page.
	HugePages []HugePages `json:"hugePages,omitempty"`
}

// HugePages is how much there may be in pages of one size, in bytes.
type HugePages struct {
	PageBytes int64 `json:"pageBytes"`
	Bytes     int64 `json:"bytes"`
}

// Size of the pages as control groups and runtimes write it: 2MB.
func (h HugePages) Size() string {
	size, units := h.PageBytes>>10, "KMG"
	for size >= 1<<10 && len(units) > 1 {
		size, units = size>>10, units[1:]
	}
	return strconv.FormatInt(size, 10) + units[:1] + "B"
}

// Hugetlbfs is a volume of huge pages. One that is mounted already is left as it is.
type Hugetlbfs struct {
	Tmpfs
	PageBytes int64 `json:"pageBytes"`
}

// Image is a volume that shows an image, read-only. One that is mounted already is left
// as it is.
type Image struct {
	// Volume is the name of the volume, and of its mount point below ImagesPath.
	Volume string `json:"volume"`
	// Mount says that it is to be mounted; otherwise the call only asks whether it is.
	Mount bool `json:"mount,omitempty"`
	// Layers are the folders of the image's layers in the store of the sandbox's engine,
	// the topmost first.
	Layers []string `json:"layers,omitempty"`
}

// Source is a file or folder that is opened step by step, each from the descriptor
// of the one before, so that nobody who can change the tree leads the way out of it.
type Source struct {
	// Roots may be entered. The walk begins at the first; an absolute link may lead
	// into any of them, and into nothing else.
	Roots []Root `json:"roots"`
	// Path from the first root.
	Path string `json:"path,omitempty"`
	// Type is that of a hostPath volume (Kubernetes HostPathType); missing sources are
	// made where it says so. NoCreate takes Path as it is.
	Type     string `json:"type,omitempty"`
	NoCreate bool   `json:"noCreate,omitempty"`
	// SubPath is walked from what Path leads to, and not out of it. A folder that is
	// missing is made with the mode of the volume's own.
	SubPath string `json:"subPath,omitempty"`
	// AsRoot has links of the volume followed as if the volume were the whole file
	// system, as those of an image are meant.
	AsRoot bool `json:"asRoot,omitempty"`
	// Private is a folder that no source may show: its own identity last, those of the
	// folders above it before.
	Private []Identity `json:"private,omitempty"`
}

// Root is a folder of the sandbox that sources may lie in.
type Root struct {
	// Path inside the sandbox.
	Path string `json:"path"`
	// Mount is the mount point that Path lies at or below, whose name no pod can change.
	// The init finds it; empty means Path.
	Mount string `json:"-"`
	// Names are what absolute links may call it: Path, and its path on the host.
	Names []string `json:"names"`
}

// Identity of a file, whatever its name.
type Identity struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// Tmpfs is a file system in memory, mounted at a folder of the sandbox. One that is
// mounted already is left as it is.
type Tmpfs struct {
	Path string `json:"path"`
	// SizeBytes is 0 for the kernel's own limit.
	SizeBytes int64 `json:"sizeBytes,omitempty"`
	// Mode as mount(8) takes it.
	Mode uint32 `json:"mode"`
	GID  *int64 `json:"gid,omitempty"`
}

// Answer to a request.
type Answer struct {
	// Version that the init speaks.
	Version int    `json:"version"`
	Error   *Error `json:"error,omitempty"`
	// Path is the mount point of OpPin inside the sandbox.
	Path string `json:"path,omitempty"`
	// State is the answer to OpStatus, Usage that to OpMeasure.
	State *State `json:"state,omitempty"`
	Usage *Usage `json:"usage,omitempty"`
	// Fuse is the answer to OpFuse, nil where the sandbox has no /dev/fuse.
	Fuse *Fuse `json:"fuse,omitempty"`
	// Tunnel is the answer to OpTunnelState.
	Tunnel *TunnelState `json:"tunnel,omitempty"`
	// Data is the answer to OpRead.
	Data []byte `json:"data,omitempty"`
}

// Fuse is what a container needs to mount FUSE file systems, by paths in the sandbox.
type Fuse struct {
	// Program is fusermount, to be mounted at the FusePrograms of a container.
	Program string `json:"program"`
	// Socket is where it asks, to be mounted at FuseSocket.
	Socket string `json:"socket"`
}

// Usage of a folder with all below it on its own file system: bytes of allocated blocks,
// and inodes, each of which counts once.
type Usage struct {
	Bytes  int64 `json:"bytes"`
	Inodes int64 `json:"inodes"`
}

// State of a sandbox, as its init sees it.
type State struct {
	// Standby says that the engine has not been started yet.
	Standby bool `json:"standby"`
	// EngineStarted is when the engine was started last.
	EngineStarted time.Time `json:"engineStarted,omitzero"`
	// EngineStarts counts how many times it was started.
	EngineStarts int `json:"engineStarts,omitempty"`
	// Used is the processor time that the sandbox's processes have taken.
	Used time.Duration `json:"used,omitempty"`
}

// Kind of an error.
type Kind string

// The kinds of errors.
const (
	// KindInvalid is a request that will never succeed.
	KindInvalid Kind = "invalid"
	// KindOutside is a source that leads out of its roots.
	KindOutside Kind = "outside"
	// KindMissing is a source that is not there, or of another type.
	KindMissing Kind = "missing"
	// KindUnknown is an operation that this init does not know.
	KindUnknown Kind = "unknown"
	// KindAway is what another host refused or has not answered. Trying again may help.
	KindAway Kind = "away"
	// KindFailed is what the kernel refused.
	KindFailed Kind = "failed"
)

// Error of an operation, in words for the pod's user.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }
