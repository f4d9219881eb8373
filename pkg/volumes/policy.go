package volumes

import v1 "k8s.io/api/core/v1"

// Policy is what the operator of this node allows and provides.
type Policy struct {
	// HostPathPrefixes are the absolute host paths that hostPath volumes may
	// use, with everything below them. Empty refuses all hostPath volumes.
	HostPathPrefixes []string
	// Claims maps "namespace/claim" or "claim" to an absolute host path.
	Claims map[string]string
	// ClaimFallback is the host path of claims that Claims does not name.
	// Empty refuses them.
	ClaimFallback string
	// ClaimRoot is the folder that has one for each claim that nothing else stands for; ""
	// is none. It is not set beside ClaimFallback.
	ClaimRoot string
	// NFSServers are the names, addresses and ranges of addresses of NFS servers that pods
	// may mount from; none refuses all nfs volumes. NFSTrouble says why this node cannot
	// mount from any, "" that it can.
	NFSServers []string
	NFSTrouble string
	// Fuse lets a hostPath volume of FuseDevice mean that of the sandbox.
	Fuse bool
	// Private is the folder with the data of all pods, which no hostPath volume
	// may show; empty means the parent of the pod's own folder.
	Private string
	// Allocatable is what the node has for pods, for podspec.Downward.
	Allocatable v1.ResourceList
}
