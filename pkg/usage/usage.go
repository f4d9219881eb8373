// Package usage measures what pods use: processor time, memory, network and accelerators,
// of each pod and each of its containers, and adds up what a pod has used until its end.
//
// The figures are read from control groups and /proc, a few files for each pod, and asked
// of no engine. The libraries that read control groups read all files of one, which costs
// more than all else that docker-sd does while its pods run.
package usage

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Report is what was measured last.
type Report struct {
	// Time of the last look; zero before the first one.
	Time time.Time `json:"time,omitzero"`
	// Node is all sandboxes together, warm ones included.
	Node *Figures `json:"node,omitempty"`
	// Pods have a sandbox that runs. They are ordered by namespace and name.
	Pods []Pod `json:"pods"`
	// Devices are those whose drivers tell what they do.
	Devices []Device `json:"devices,omitempty"`
	// Trouble says why nothing can be measured.
	Trouble string `json:"trouble,omitempty"`
	// Starting says that docker-sd has not looked yet, so no pod is listed.
	Starting bool `json:"starting,omitempty"`
}

// Figures are what the kernel counts for a control group and all below it.
type Figures struct {
	// Time at which they were read.
	Time time.Time `json:"time"`
	// CPUNanoseconds is the processor time since the group was made.
	CPUNanoseconds uint64 `json:"cpuNanoseconds"`
	// Cores is the processor time per time since the look before; nil at the first one.
	Cores *float64 `json:"cores,omitempty"`
	// MemoryBytes is all memory that the kernel accounts to the group; WorkingSetBytes is that
	// without the file pages that have not been used for long, as kubelet counts it. RSSBytes
	// is memory of no file, CacheBytes that of files.
	MemoryBytes     uint64 `json:"memoryBytes"`
	WorkingSetBytes uint64 `json:"workingSetBytes"`
	RSSBytes        uint64 `json:"rssBytes"`
	CacheBytes      uint64 `json:"cacheBytes"`
}

// Pod is what one pod uses. Its Figures are those of its sandbox: its containers, and the
// engine that runs them.
type Pod struct {
	UID       types.UID `json:"uid"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	// Started is when the pod got its sandbox.
	Started time.Time `json:"started,omitzero"`
	Figures
	// Network is that of the sandbox's interface; nil where it cannot be read.
	Network *Network `json:"network,omitempty"`
	// Storage is nil for a pod whose disk usage nobody measures.
	Storage *Storage `json:"storage,omitempty"`
	// Containers are those that run.
	Containers []Container `json:"containers"`
	// History is the last hour, the oldest first.
	History []Point `json:"-"`
}

// Container is what one container uses.
type Container struct {
	Name  string `json:"name"`
	Init  bool   `json:"init,omitempty"`
	Image string `json:"image"`
	// Started is when its present run was started.
	Started time.Time `json:"started,omitzero"`
	Figures
	// MemoryLimitBytes and CPULimit, in cores, are the container's own; 0 is none.
	MemoryLimitBytes int64   `json:"memoryLimitBytes,omitempty"`
	CPULimit         float64 `json:"cpuLimit,omitempty"`
	// StorageBytes is what it has written to its file system and its log; nil where that is
	// not measured.
	StorageBytes *int64 `json:"storageBytes,omitempty"`
	// Devices are the UUIDs of the accelerators that it holds.
	Devices []string `json:"devices,omitempty"`
}

// Network is what an interface of a sandbox has carried since the sandbox was started.
type Network struct {
	Interface  string `json:"interface"`
	Received   uint64 `json:"receivedBytes"`
	Sent       uint64 `json:"sentBytes"`
	PacketsIn  uint64 `json:"receivedPackets"`
	PacketsOut uint64 `json:"sentPackets"`
	ErrorsIn   uint64 `json:"receiveErrors"`
	ErrorsOut  uint64 `json:"sendErrors"`
	DroppedIn  uint64 `json:"receivedPacketsDropped"`
	DroppedOut uint64 `json:"sentPacketsDropped"`
}

// Storage is what a pod has on disk, as the watches of limits and of low disks have
// measured it.
type Storage struct {
	// Time at which it was measured.
	Time time.Time `json:"time"`
	// Bytes of the pod's volumes and of its containers.
	Bytes int64 `json:"bytes"`
	// Containers have bytes by container: what each has written to its file system, and its
	// log.
	Containers map[string]int64 `json:"containers,omitempty"`
}

// Device is what one accelerator does.
type Device struct {
	UUID string `json:"uuid"`
	// Utilization in percent; nil where the driver does not tell it.
	Utilization      *uint32 `json:"utilization,omitempty"`
	MemoryUsedBytes  uint64  `json:"memoryUsedBytes"`
	MemoryTotalBytes uint64  `json:"memoryTotalBytes"`
}

// Subject is a pod that is to be measured.
type Subject struct {
	UID       types.UID
	Namespace string
	Name      string
	// Sandbox is the id of its sandbox's container on the host.
	Sandbox    string
	Containers []Run
	Storage    *Storage
}

// Run is a container that may run.
type Run struct {
	Name, Image string
	Init        bool
	// ID is the id that the sandbox's engine has given it.
	ID               string
	Started          time.Time
	MemoryLimitBytes int64
	CPULimit         float64
}
