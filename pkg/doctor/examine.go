package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostnet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// examination gathers the facts that checks judge. It makes sandboxes as docker-sd does.
type examination struct {
	settings config.Config
	host     *engine.Client
	client   *admin.Client
	setup    Setup
	running  preflight.Running
}

func newExamination(settings config.Config, setup Setup) (*examination, error) {
	host, err := engine.Connect(settings.DockerHost)
	if err != nil {
		return nil, err
	}
	return &examination{settings: settings, host: host, client: admin.NewClient(settings.DataRootFolder), setup: setup}, nil
}

func (p *examination) close() {
	p.client.Close()
	p.host.Close()
}

// look makes all checks.
func (p *examination) look(ctx context.Context, r *preflight.Report, boot bool) {
	s := p.settings
	p.findRunning(ctx)
	r.Add(preflight.Daemon(p.running), ownUser())
	info, err := p.host.Info(ctx)
	r.Add(preflight.Engine(p.engineAddress(), info, err))
	if err == nil {
		p.lookAtEngine(ctx, r, info)
	}
	root := os.DirFS("/")
	r.Add(preflight.Kernel(root, preflight.Load{Sandboxes: p.sandboxes(), CgroupVersion: info.CgroupVersion, OpenFiles: openFiles()})...)
	space, spaceErr := preflight.SpaceAt(s.DataRootFolder)
	r.Add(preflight.Disk("data disk", "DataRootFolder", s.DataRootFolder, space, spaceErr))
	r.Add(preflight.Folder(s.DataRootFolder, p.running, preflight.Holder(os.DirFS("/proc"), filepath.Join(s.DataRootFolder, "lock"))))
	r.Add(p.ports()...)
	r.Add(p.hostPaths(info)...)
	if s.TrustedAnnotationFlags {
		r.Add(preflight.TrustedFlags())
	}
	if s.FuseMounts {
		r.Add(preflight.Fuse(machine.Has(initapi.FuseDevice)))
	}
	if s.PrivilegedPodsMayMount {
		r.Add(preflight.MayMount())
	}
	if s.GPUEnabled {
		r.Add(p.gpuLines(ctx, info)...)
	}
	if err == nil {
		p.lookAtClassImages(ctx, r)
		p.lookAtSandbox(ctx, r, info, boot)
	}
}

// findRunning asks for the docker-sd that runs with this configuration.
func (p *examination) findRunning(ctx context.Context) {
	info, err := p.client.Info(ctx)
	if err != nil {
		return
	}
	p.running = preflight.Running{Described: fmt.Sprintf("%s runs as instance %s for %s", info.Version, info.Instance, cli.Age(info.Started, time.Now())),
		Address: info.Address, Interlink: info.InterlinkAPI, Admin: info.Admin != "", Troubles: info.Troubles}
}

// ownUser judges that of this process, as docker-sd's.
func ownUser() preflight.Line {
	groups, err := os.Getgroups()
	if err != nil {
		groups = nil // as without any
	}
	return preflight.User(os.Geteuid(), append(groups, os.Getegid()))
}

func (p *examination) engineAddress() string {
	if p.settings.DockerHost == "" {
		return "the default socket /var/run/docker.sock"
	}
	return p.settings.DockerHost
}

// sandboxes is how many there may be at once.
func (p *examination) sandboxes() int {
	return p.settings.MaxPods + p.settings.AvailableDinds + p.settings.Standbys() + p.settings.Holders()
}

func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Max // Go raises its own to this
}

// lookAtEngine adds what there is to say of an engine that answers.
func (p *examination) lookAtEngine(ctx context.Context, r *preflight.Report, info engine.Info) {
	s := p.settings
	sharing := images.Layers(images.Mode(s.ImageSharing), info)
	wanted := s.ImageSharing == config.ImageSharingAuto || s.ImageSharing == config.ImageSharingShared
	r.Add(preflight.Sharing(info, sharing.Root != "", wanted, sharing.Why), preflight.LiveRestore(info), preflight.Cgroups(info))
	profiles, seen := sandbox.AppArmorProfiles(os.DirFS("/"))
	r.Add(preflight.AppArmor(preflight.Confinement{Engine: info.AppArmor, Seen: seen, Profiles: profiles,
		Setting: s.SandboxAppArmorProfile, Privileged: s.SandboxPrivileged, Ours: sandbox.AppArmorSandbox}))
	if len(s.AppArmorProfiles) > 0 {
		r.Add(preflight.PodProfiles(s.AppArmorProfiles, sandbox.PodProfiles(profiles), sandbox.AppArmorNamespace, info.AppArmor && seen && !s.SandboxPrivileged))
	}
	sandboxes := p.sandboxConfig(ctx, info, Shares{})
	known := pool.New(sandboxes, p.host)
	defer known.Close()
	watch, unseen := p.setup.DiskWatch(s, info)
	low, err := watch.Low()
	r.Add(preflight.DiskWatch(len(s.Thresholds()), low, errors.Join(unseen, err)))
	r.Add(preflight.Instance(s.Instance, known.CheckInstance(ctx)), p.networks(ctx, sandboxes.Subnets),
		preflight.MTU(cmp.Or(sandboxes.MTU, defaultMTU), hostnet.UplinkMTU()), p.firewallLine(ctx),
		preflight.ClusterNetwork(s.ClusterNetwork.On(), machine.Tun()))
	if _, err := os.Stat(info.RootDir); err == nil {
		space, err := preflight.SpaceAt(info.RootDir)
		r.Add(preflight.Disk("engine disk", "the engine's data", info.RootDir, space, err))
	} else {
		r.Add(preflight.Line{Name: "engine disk", Verdict: preflight.Warn, Found: fmt.Sprintf("%s, the engine's data, cannot be seen from here: %v", info.RootDir, err)})
	}
}

// sandboxConfig is how docker-sd would make sandboxes. The check fetches no image.
func (p *examination) sandboxConfig(ctx context.Context, info engine.Info, shares Shares) pool.Config {
	return p.setup.Sandboxes(ctx, p.settings, p.host, info, images.Layers(images.Mode(p.settings.ImageSharing), info), shares.Each)
}

// defaultMTU is the engine's.
const defaultMTU = 1500
