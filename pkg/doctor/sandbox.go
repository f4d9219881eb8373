package doctor

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"

	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initbinary"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// checkSuffix of the instance that a check's sandbox belongs to: docker-sd takes
// it for another's.
const checkSuffix = "-check"

// tryShares bounds sandboxes as docker-sd would, in a group of the check's own. The
// function that it returns removes that group again and judges.
func (p *examination) tryShares(info engine.Info) (Shares, *cgroup.Group, *preflight.Shares, func() preflight.Line) {
	own := p.settings
	own.Instance += checkSuffix
	s, err := p.setup.Shares(own, info)
	found := &preflight.Shares{Group: cgroup.ParentOf(info.CgroupDriver, p.settings.Instance), Memory: s.All.MemoryBytes, Pids: s.All.Pids,
		PidsOfOne: s.Each.PidsLimit, Err: err}
	var group *cgroup.Group
	if err == nil {
		group, found.Unbound = s.Bound()
	}
	return s, group, found, func() preflight.Line {
		if group != nil {
			found.Unbound = errors.Join(found.Unbound, group.Remove())
		}
		return found.Judge()
	}
}

// lookAtSandbox judges the sandbox image and, with boot, boots a sandbox of it under another
// instance. It removes all that it made.
func (p *examination) lookAtSandbox(ctx context.Context, info engine.Info, boot bool) {
	r, settings := p.probes.report, p.settings
	shares, group, found, judge := p.tryShares(info)
	defer func() { r.Add(judge()) }()
	ref := settings.SandboxImageName()
	image, err := p.host.Image(ctx, ref)
	if err != nil || !boot {
		r.Add(preflight.Image(ref, image, err, false, "", nil))
		return
	}
	if p.hung {
		r.Add(preflight.Image(ref, image, nil, false, "", nil), preflight.NotBooted())
		return
	}
	config := p.sandboxConfig(ctx, settings, info)
	config.Resources = shares.Each
	dir, remove, err := preflight.OwnFolder(p.settings.DataRootFolder)
	if err != nil {
		r.Add(preflight.Image(ref, image, nil, false, "", nil), preflight.Booted(preflight.Times{}, err))
		return
	}
	if config.Init, err = initbinary.Install(filepath.Join(dir, "init")); err != nil {
		r.Add(preflight.Booted(preflight.Times{}, errors.Join(err, remove())))
		return
	}
	config.Instance, config.Dir = p.settings.Instance+checkSuffix, filepath.Join(dir, "s")
	config.StoreVolume = "" // docker-sd's own, which the check neither makes nor fills
	config.Size, config.Standby, config.Holders, config.Parallel, config.StrayDryRun = 0, 0, 0, 1, false
	version, problem := p.dockerdOf(ctx, ref, config)
	line := preflight.Image(ref, image, nil, true, version, problem)
	r.Add(line)
	if line.Verdict == preflight.Fail {
		if err := remove(); err != nil {
			r.Add(preflight.Booted(preflight.Times{}, err))
		}
		return
	}
	times, err := preflight.Boot(ctx, config, p.host, func(ctx context.Context, into *engine.Client) (string, error) {
		return p.host.CopyImage(ctx, into, ref)
	}, func(s *sandbox.Sandbox) { found.Elsewhere = group != nil && !group.Holds(s.ID) }, p.lookAtRuntimes(ctx))
	err = errors.Join(err, remove())
	r.Add(preflight.Booted(times, err))
	if err == nil {
		r.Boot = &times
	}
}

// dockerdOf has the dockerd of an image say its version. Its container is one
// that a later check would take for a sandbox that was left behind.
func (p *examination) dockerdOf(ctx context.Context, ref string, sandboxes pool.Config) (string, error) {
	name := sandbox.AssignedName(uuid.NewString())
	return preflight.Output(ctx, p.host, engine.Spec{Name: name, Image: ref, Entrypoint: []string{"/bin/sh", "-c", "exec dockerd --version"},
		Network: "none", CapDrop: []string{"ALL"}, ReadonlyRootfs: true,
		Labels: map[string]string{engine.LabelInstance: sandboxes.Instance, engine.LabelSandbox: name, engine.LabelFolder: sandboxes.Dir}})
}

// lookAtRuntimes judges the runtimes of the runtime classes by a sandbox.
func (p *examination) lookAtRuntimes(ctx context.Context) func(*sandbox.Sandbox) {
	wanted := map[string]string{}
	for name, class := range p.settings.RuntimeClasses {
		if class.Runtime != "" && class.SandboxImage == "" {
			wanted[name] = class.Runtime
		}
	}
	return func(s *sandbox.Sandbox) {
		if len(wanted) > 0 {
			info, err := s.Engine.Info(ctx)
			programs := p.settings.RuntimeClasses.Programs()
			usable := slices.DeleteFunc(info.Runtimes, func(name string) bool { return programs[name] != "" && !machine.IsProgram(programs[name]) })
			p.probes.report.Add(preflight.Runtimes(wanted, usable, err))
		}
	}
}

// classImages judges the sandbox images of runtime classes.
func (p *examination) classImages(ctx context.Context) []preflight.Line {
	var lines []preflight.Line
	for _, name := range slices.Sorted(maps.Keys(p.settings.RuntimeClasses)) {
		if ref := p.settings.RuntimeClasses[name].SandboxImage; ref != "" {
			_, err := p.host.Image(ctx, ref)
			lines = append(lines, preflight.ClassImage(name, ref, err))
		}
	}
	return lines
}
