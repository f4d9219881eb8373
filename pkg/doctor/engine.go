package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/snapshots"
)

// asked is what an engine has said of itself.
type asked struct {
	info engine.Info
	err  error
}

// lookForEngine asks the engine; usable says that it answers. Without one the lines about it
// are left out.
func (p *examination) lookForEngine(ctx context.Context) (info engine.Info, usable bool) {
	found, ok := answer(ctx, p.probes, "engine", func(ctx context.Context) asked {
		info, err := p.host.Info(ctx)
		return asked{info, err}
	})
	if !ok {
		return info, false
	}
	p.probes.report.Add(preflight.Engine(p.engineAddress(), found.info, found.err))
	p.probes.lines(ctx, "engine socket", func(context.Context) []preflight.Line { return p.engineSocket() })
	if found.err != nil {
		return info, false
	}
	p.lookAtEngine(ctx, found.info)
	return found.info, true
}

// lookAtEngine adds what there is to say of an engine that answers.
func (p *examination) lookAtEngine(ctx context.Context, info engine.Info) {
	s, r := p.settings, p.probes.report
	sharing := snapshots.Look(ctx, images.Layers(images.Mode(s.ImageSharing), info), info)
	wanted := s.ImageSharing == config.ImageSharingAuto || s.ImageSharing == config.ImageSharingShared
	r.Add(preflight.Sharing(info, sharing.Root != "", wanted, sharing.Why), preflight.LiveRestore(info), preflight.Cgroups(info))
	p.probes.lines(ctx, "apparmor", func(context.Context) []preflight.Line { return p.appArmor(info) })
	p.probes.lines(ctx, "disk watch", func(context.Context) []preflight.Line {
		watch, unseen := p.setup.DiskWatch(s, info)
		low, err := watch.Low()
		return []preflight.Line{preflight.DiskWatch(len(s.Thresholds()), low, errors.Join(unseen, err))}
	})
	// Folders for pods decide nothing here, and may hang.
	sandboxes, ok := answer(ctx, p.probes, "networks", func(ctx context.Context) pool.Config {
		return p.sandboxConfig(ctx, withoutFolders(s), info)
	})
	if ok {
		p.probes.lines(ctx, "instance", func(ctx context.Context) []preflight.Line {
			known := pool.New(sandboxes, p.host)
			defer known.Close()
			return []preflight.Line{preflight.Instance(s.Instance, known.CheckInstance(ctx))}
		})
		p.probes.lines(ctx, "networks", func(ctx context.Context) []preflight.Line {
			return []preflight.Line{p.networks(ctx, sandboxes.Subnets), p.mtu(ctx, cmp.Or(sandboxes.MTU, defaultMTU))}
		})
	}
	p.probes.lines(ctx, "firewall", func(ctx context.Context) []preflight.Line { return []preflight.Line{p.firewallLine(ctx)} })
	r.Add(preflight.ClusterNetwork(s.ClusterNetwork.On(), machine.Tun()))
	p.probes.lines(ctx, "engine disk", func(context.Context) []preflight.Line {
		if _, err := os.Stat(info.RootDir); err != nil {
			return []preflight.Line{{Name: "engine disk", Verdict: preflight.Warn, Found: fmt.Sprintf("%s, the engine's data, cannot be seen from here: %v", info.RootDir, err)}}
		}
		space, err := preflight.SpaceAt(info.RootDir)
		return []preflight.Line{preflight.Disk("engine disk", "the engine's data", info.RootDir, space, err)}
	})
}

// appArmor judges the profiles of sandboxes and of pods.
func (p *examination) appArmor(info engine.Info) []preflight.Line {
	s := p.settings
	profiles, seen := sandbox.AppArmorProfiles(os.DirFS("/"))
	lines := []preflight.Line{preflight.AppArmor(preflight.Confinement{Engine: info.AppArmor, Seen: seen, Profiles: profiles,
		Setting: s.SandboxAppArmorProfile, Privileged: s.SandboxPrivileged, Ours: sandbox.AppArmorSandbox})}
	if len(s.AppArmorProfiles) > 0 {
		lines = append(lines, preflight.PodProfiles(s.AppArmorProfiles, sandbox.PodProfiles(profiles), sandbox.AppArmorNamespace, info.AppArmor && seen && !s.SandboxPrivileged))
	}
	return lines
}

// sandboxConfig is how docker-sd would make sandboxes, but for their bounds. The check fetches
// no image.
func (p *examination) sandboxConfig(ctx context.Context, s config.Config, info engine.Info) pool.Config {
	return p.setup.Sandboxes(ctx, s, p.host, info, images.Layers(images.Mode(s.ImageSharing), info), engine.Resources{})
}

// withoutFolders is a configuration with which sandboxes get no folder of this host.
func withoutFolders(s config.Config) config.Config {
	s.HostPathPrefixes, s.PersistentVolumeClaims, s.PersistentVolumeClaimsToCVMFS, s.Storage.Root = nil, nil, false, ""
	return s
}

// defaultMTU is the engine's.
const defaultMTU = 1500
