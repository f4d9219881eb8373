package main

import (
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// podsConfig is what the configuration and the engine say of pods.
func (d *daemon) podsConfig(info engine.Info, network clusternet.Policy) pods.Config {
	s := d.settings
	disk := d.volumesPolicy()
	pages, trouble := d.node.hugePages()
	return pods.Config{
		Dir: s.DataRootFolder, MaxPods: s.MaxPods, Tombstones: s.TombstonePeriod,
		Volumes: disk, DeleteClaims: s.Storage.Reclaim == config.ReclaimDelete,
		Node: podspec.Node{
			PrivilegedSandbox: s.SandboxPrivileged, AllowPrivileged: s.AllowPrivilegedPods, MayMount: s.PrivilegedPodsMayMount,
			Fuse: disk.Fuse, Capabilities: sandbox.Capabilities, TrustAnnotations: s.TrustedAnnotationFlags,
			ExpandValues: s.ExpandEnvironmentValues, UnsafeSysctls: s.AllowedUnsafeSysctls,
			HostNetworkIsSandbox: s.HostNetworkIsSandbox, SeccompRoot: s.SeccompProfileRoot, RuntimeClasses: runtimeClasses(s),
			AppArmorProfiles: s.AppArmorProfiles, AppArmorNamespace: podProfiles(s, info),
			HugePages: pages, HugePagesTrouble: trouble,
			GroupOOM: info.CgroupVersion == "2" && !s.SingleProcessOOMKill,
			Defaults: podDefaults(s.PodDefaults),
			CPUs:     info.CPUs, Allocatable: disk.Allocatable,
			Log: engine.LogLimits{MaxBytes: s.ContainerLogMaxSize, MaxFiles: s.ContainerLogMaxFiles},
		},
		Network: network, NetworkTimeout: s.ClusterNetwork.Timeout,
		Measure: measure, Observer: d.observer.tell,
	}
}

// volumesPolicy is what pods may mount of this host.
func (d *daemon) volumesPolicy() volumes.Policy {
	s := d.settings
	out := volumes.Policy{
		HostPathPrefixes: s.HostPathPrefixes, Claims: s.PersistentVolumeClaims, ClaimRoot: s.Storage.Root,
		NFSServers: s.Storage.NFSServers, Private: s.DataRootFolder, Allocatable: d.node.allocatable(), Fuse: hasFuse(s),
	}
	if s.PersistentVolumeClaimsToCVMFS {
		out.ClaimFallback = machine.CVMFS
	}
	if len(out.NFSServers) > 0 && !machine.HasNFS() {
		out.NFSTrouble = "this node's kernel has no NFS client; ask its operator to load the kernel's module nfs"
	}
	return out
}
