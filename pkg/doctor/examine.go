package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// examination gathers the facts that checks judge. It makes sandboxes as docker-sd does.
type examination struct {
	settings config.Config
	host     *engine.Client
	client   *admin.Client
	setup    Setup
	running  preflight.Running
	probes   probes
	// hung says that a folder of this host does not answer: no sandbox can be made with it.
	hung bool
}

func newExamination(settings config.Config, setup Setup, ask probes) (*examination, error) {
	host, err := engine.Connect(settings.DockerHost)
	if err != nil {
		return nil, err
	}
	return &examination{settings: settings, host: host, client: admin.NewClient(settings.DataRootFolder), setup: setup, probes: ask}, nil
}

func (p *examination) close() {
	p.client.Close()
	p.host.Close()
}

// look makes all checks.
func (p *examination) look(ctx context.Context, boot bool) {
	s, r := p.settings, p.probes.report
	if found, asked := answer(ctx, p.probes, "docker-sd", p.findRunning); asked {
		p.running = runningOf(found)
		r.Add(preflight.Daemon(p.running), interlinkCalls(found))
	}
	r.Add(ownUser())
	info, usable := p.lookForEngine(ctx)
	load := preflight.Load{Sandboxes: p.sandboxes(), CgroupVersion: info.CgroupVersion, OpenFiles: openFiles()}
	load.Inotify, _ = answer(ctx, p.probes, "inotify", func(context.Context) uint64 {
		used, _ := machine.InotifyInstances("/proc", rootUser) // 0 is not known
		return used
	})
	p.probes.lines(ctx, "kernel", func(context.Context) []preflight.Line {
		load.Keys, load.KeyBytes, _ = machine.Keys("/proc", rootUser)
		return preflight.Kernel(os.DirFS("/"), load)
	})
	p.lookAtFolder(ctx)
	p.ports(ctx)
	p.hostPaths(ctx, info)
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
		// A driver that no program keeps loaded takes some seconds for each GPU.
		patient := probes{limit: 3 * p.probes.limit, report: r}
		patient.lines(ctx, "gpu driver", func(ctx context.Context) []preflight.Line { return p.gpuLines(ctx, info) })
	}
	if usable {
		p.probes.lines(ctx, "class image", p.classImages)
		p.lookAtSandbox(ctx, info, boot)
	}
}

// rootUser has what the containers of the engine take.
const rootUser = 0

// lookAtFolder judges DataRootFolder and its disk.
func (p *examination) lookAtFolder(ctx context.Context) {
	path := p.settings.DataRootFolder
	there := p.probes.lines(ctx, "data disk", func(context.Context) []preflight.Line {
		space, err := preflight.SpaceAt(path)
		return []preflight.Line{preflight.Disk("data disk", "DataRootFolder", path, space, err)}
	})
	if !there {
		p.hung = true
		return
	}
	p.hung = !p.probes.lines(ctx, "data folder", func(context.Context) []preflight.Line {
		return []preflight.Line{preflight.Folder(path, p.running, preflight.Holder(os.DirFS("/proc"), filepath.Join(path, "lock")))}
	})
}

// findRunning asks for the docker-sd that runs with this configuration; nil is none.
func (p *examination) findRunning(ctx context.Context) *admin.Info {
	info, err := p.client.Info(ctx)
	if err != nil {
		return nil
	}
	return &info
}

// interlinkCalls judges who has called the docker-sd that runs.
func interlinkCalls(info *admin.Info) preflight.Line {
	if info == nil || info.Plugin == nil || info.VirtualKubelet == nil {
		return preflight.Interlink(info != nil, time.Time{}, time.Now())
	}
	caller := func(what, address string, h *admin.Heard) preflight.Caller {
		return preflight.Caller{What: what, Address: address, Ping: h.Ping, Poll: h.Poll, Create: h.Create, UserAgent: h.UserAgent, Lists: h.Lists}
	}
	callers := []preflight.Caller{caller("interLink's API server", info.Address, info.Plugin)}
	if info.InterlinkAPI != "" {
		kubelet := caller("a Virtual Kubelet", info.InterlinkAPI, info.VirtualKubelet)
		kubelet.Same = true
		callers = append(callers, kubelet)
	}
	return preflight.Interlink(true, info.Started, time.Now(), callers...)
}

func runningOf(info *admin.Info) preflight.Running {
	if info == nil {
		return preflight.Running{}
	}
	return preflight.Running{Described: fmt.Sprintf("%s runs as instance %s for %s", info.Version, info.Instance, cli.Age(info.Started, time.Now())),
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
	return p.settings.MaxPods + max(p.settings.AvailableDinds, p.settings.MostWarmSandboxes) + p.settings.Standbys() + p.settings.Holders()
}

func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Max // Go raises its own to this
}
