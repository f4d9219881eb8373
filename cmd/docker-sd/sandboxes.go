package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostnet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/mirrors"
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
		Store: sharing.Root, StoreLayers: sharing.Layers, StoreVolume: volume, Subnets: hostnet.SandboxRanges(ctx, s.DockerNetworkSubnet, host), Mounts: hostMounts(ctx, s),
		MTU: cmp.Or(s.NetworkMTU, hostnet.UplinkMTU()), Resources: limits, Fuse: hasFuse(s), Runtimes: s.RuntimeClasses.Programs(),
		Ulimits: ulimits(s.PodDefaults.Ulimits),
	}
	if at := registriesOf(s); s.ImageSharing == config.ImageSharingPull {
		each.InsecureRegistries, each.RegistryCertificates = at.Insecure(), at.Certificates()
	}
	each.Confine(info)
	if podProfiles(s, info) {
		each.AppArmor, each.Amends = sandbox.WithNamespace(each.AppArmor), true
	}
	if pages, _ := hugePages(os.DirFS("/"), info.CgroupVersion); len(pages) > 0 {
		each.Amends = true
	}
	return pool.Config{Config: each, Size: s.AvailableDinds, Most: s.MostWarmSandboxes, Room: machine.HasMemory, Standby: s.Standbys(), Holders: s.Holders(), Parallel: s.BootParallel(),
		StrayGrace: s.StrayGracePeriod, StrayDryRun: s.StrayDryRun}
}

// registriesOf a configuration.
func registriesOf(s config.Config) mirrors.Registries {
	out := make(mirrors.Registries, len(s.Registries))
	for i, one := range s.Registries {
		out[i] = mirrors.Registry(one)
	}
	return out
}

// hasFuse says whether sandboxes have /dev/fuse. An engine makes no container with a device
// that the host does not have.
func hasFuse(s config.Config) bool { return s.FuseMounts && machine.Has(initapi.FuseDevice) }

// imagesConfig is how images get into sandboxes that share what sharing says; changed is
// called when the images in a library have.
func (d *daemon) imagesConfig(sharing images.Sharing, library images.Library, changed func()) images.Config {
	s := d.settings
	return images.Config{Instance: s.Instance, Timeout: s.ImagePullTimeout, DockerConfig: s.DockerConfig,
		Observer: d.observer.tell, Record: filepath.Join(s.DataRootFolder, "images.json"),
		Access: filepath.Join(s.DataRootFolder, "image-access.json"), Verification: images.Verification(s.ImageVerification),
		Shared: sharing.Root != "" || library != nil, Library: library, SandboxImage: s.SandboxImageName(), LibraryChanged: changed,
		Registries: registriesOf(s), PullInside: s.ImageSharing == config.ImageSharingPull}
}

// hostMounts are the host paths that pods may use. A running sandbox gains no
// mount, so all of them are there from its boot.
func hostMounts(ctx context.Context, s config.Config) []engine.Mount {
	paths := append([]string{}, s.HostPathPrefixes...)
	for _, path := range s.PersistentVolumeClaims {
		paths = append(paths, path)
	}
	if s.PersistentVolumeClaimsToCVMFS {
		paths = append(paths, machine.CVMFS)
	}
	if s.Storage.Root != "" {
		paths = append(paths, s.Storage.Root)
	}
	var out []engine.Mount
	for _, path := range machine.Outermost(paths) {
		if _, err := os.Stat(path); err != nil {
			log.G(ctx).WithField("path", path).Info("a host path for pods is not there, pods that ask for it are refused")
			continue
		}
		out = append(out, engine.Mount{Source: path, Target: path, Propagation: machine.Propagation(path)})
	}
	return out
}
