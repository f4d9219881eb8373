// Package podspec is the pure part of running a pod: what Kubernetes asks for is
// checked, and turned into what the engine of a sandbox makes. Nothing here reads a
// file, asks an engine, or keeps anything.
package podspec

import (
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Node is what this node allows and has, the same for every pod.
type Node struct {
	// PrivilegedSandbox says that a sandbox holds every capability itself, and
	// AllowPrivileged that pods may have privileged containers.
	PrivilegedSandbox, AllowPrivileged bool
	// Fuse lets containers mount FUSE file systems: see WantsFuse.
	Fuse bool
	// GroupOOM has the kernel kill a container as a whole where it kills one of its
	// processes for memory: control groups of version 2 can.
	GroupOOM bool
	// MayMount lets containers have SYS_ADMIN, and gives it to privileged ones.
	MayMount bool
	// Capabilities that a sandbox holds otherwise, without the prefix CAP_.
	Capabilities []string
	// TrustAnnotations honours all flags of docker run in the annotation that are on
	// the list, not only those that grant nothing.
	TrustAnnotations bool
	// UnsafeSysctls that pods may set beside the safe ones: names, or patterns that end
	// with *. None that belongs to the whole machine is allowed by them.
	UnsafeSysctls []string
	// SeccompRoot is the folder of seccomp profiles of type Localhost, "" if there are none.
	SeccompRoot string
	// AppArmorProfiles that pods may have: names, or patterns that end with *.
	AppArmorProfiles []string
	// AppArmorNamespace says that sandboxes can have these profiles.
	AppArmorNamespace bool
	// HugePages that this node has, in bytes, by resource. HugePagesTrouble is why it has
	// none that pods could use, "" where it simply has none.
	HugePages        map[v1.ResourceName]int64
	HugePagesTrouble string
	// HostNetworkIsSandbox lets hostNetwork mean the network of the pod's sandbox.
	HostNetworkIsSandbox bool
	// RuntimeClasses that pods may name.
	RuntimeClasses map[string]RuntimeClass
	// ExpandValues expands $(NAME) in the values of variables: the operator says that his
	// Virtual Kubelet does not (protocol 5.1).
	ExpandValues bool
	// Defaults complete each pod when it is created.
	Defaults Defaults
	// CPUs of the host, 0 if not known: an engine refuses a larger limit, which
	// Kubernetes allows.
	CPUs int
	// Allocatable is what the node has for pods, as its ping reports it.
	Allocatable v1.ResourceList
	// Log bounds the log of each container.
	Log engine.LogLimits
}
