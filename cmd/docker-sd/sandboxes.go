package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/log"
	"github.com/moby/sys/mountinfo"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostnet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// sandboxConfig is how sandboxes are made on a host with this engine, each with limits,
// but for their first process, their firewall and where a missing image comes from.
func sandboxConfig(ctx context.Context, s config.Config, host hostnet.Engine, info engine.Info, sharing images.Sharing, limits engine.Resources) pool.Config {
	volume := ""
	if sharing.Library {
		volume = sandbox.StoreVolumeName(s.Instance)
	}
	each := sandbox.Config{
		Instance: s.Instance, Dir: filepath.Join(s.DataRootFolder, "sandboxes"), Image: s.SandboxImageName(),
		BootTimeout: s.SandboxBootTimeout, RemoveFolder: volumes.Remove,
		Privileged: s.SandboxPrivileged, AppArmor: sandbox.AppArmorFor(os.DirFS("/"), s.AppArmorProfile()),
		Store: sharing.Root, StoreVolume: volume, Subnets: hostnet.SandboxRanges(ctx, s.DockerNetworkSubnet, host), Mounts: hostMounts(ctx, s),
		MTU: cmp.Or(s.NetworkMTU, hostnet.UplinkMTU()), Resources: limits, Fuse: hasFuse(s), Runtimes: s.RuntimeClasses.Programs(),
		Ulimits: ulimits(s.PodDefaults.Ulimits),
	}
	each.Confine(info)
	if podProfiles(s, info) {
		each.AppArmor, each.Amends = sandbox.WithNamespace(each.AppArmor), true
	}
	if pages, _ := hugePages(os.DirFS("/"), info.CgroupVersion); len(pages) > 0 {
		each.Amends = true
	}
	return pool.Config{Config: each, Size: s.AvailableDinds, Standby: s.Standbys(), Holders: s.Holders(), Parallel: s.BootParallel(),
		StrayGrace: s.StrayGracePeriod, StrayDryRun: s.StrayDryRun}
}

// hasFuse says whether sandboxes have /dev/fuse. An engine makes no container with a device
// that the host does not have.
func hasFuse(s config.Config) bool { return s.FuseMounts && hostHas(initapi.FuseDevice) }

// imagesConfig is how images get into sandboxes that share what sharing says; changed is
// called when the images in a library have.
func (d *daemon) imagesConfig(sharing images.Sharing, library images.Library, changed func()) images.Config {
	s := d.settings
	return images.Config{Instance: s.Instance, Timeout: s.ImagePullTimeout, DockerConfig: s.DockerConfig,
		Observer: d.observer.tell, Record: filepath.Join(s.DataRootFolder, "images.json"),
		Access: filepath.Join(s.DataRootFolder, "image-access.json"), Verification: images.Verification(s.ImageVerification),
		Shared: sharing.Root != "" || library != nil, Library: library, SandboxImage: s.SandboxImageName(), LibraryChanged: changed,
		PullInside: s.ImageSharing == config.ImageSharingPull}
}

// hostMounts are the host paths that pods may use. A running sandbox gains no
// mount, so all of them are there from its boot.
func hostMounts(ctx context.Context, s config.Config) []engine.Mount {
	paths := append([]string{}, s.HostPathPrefixes...)
	for _, path := range s.PersistentVolumeClaims {
		paths = append(paths, path)
	}
	if s.PersistentVolumeClaimsToCVMFS {
		paths = append(paths, cvmfs)
	}
	if s.Storage.Root != "" {
		paths = append(paths, s.Storage.Root)
	}
	var out []engine.Mount
	for _, path := range outermost(paths) {
		if _, err := os.Stat(path); err != nil {
			log.G(ctx).WithField("path", path).Info("a host path for pods is not there, pods that ask for it are refused")
			continue
		}
		out = append(out, engine.Mount{Source: path, Target: path, Propagation: propagation(path)})
	}
	return out
}

// outermost drops paths that are below another one.
func outermost(paths []string) []string {
	slices.Sort(paths)
	var out []string
	for _, path := range slices.Compact(paths) {
		below := func(outer string) bool { return strings.HasPrefix(path, strings.TrimSuffix(outer, "/")+"/") }
		if !slices.ContainsFunc(out, below) {
			out = append(out, path)
		}
	}
	return out
}

// propagation lets mounts that the host makes later below a path show in
// sandboxes, as those of /cvmfs do, where the host's own mount allows it.
func propagation(path string) string {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil {
		return ""
	}
	innermost := &mountinfo.Info{}
	for _, m := range mounts {
		if len(m.Mountpoint) >= len(innermost.Mountpoint) {
			innermost = m
		}
	}
	if strings.Contains(innermost.Optional, "shared:") || strings.Contains(innermost.Optional, "master:") {
		return "rslave"
	}
	return ""
}

const cvmfs = "/cvmfs"
