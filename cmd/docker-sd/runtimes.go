package main

import (
	"context"
	"maps"
	"os"
	"slices"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// runtimeClasses are those that pods may name.
func runtimeClasses(s config.Config) map[string]podspec.RuntimeClass {
	out := map[string]podspec.RuntimeClass{}
	for name, class := range s.RuntimeClasses {
		out[name] = podspec.RuntimeClass{Runtime: class.Runtime, SandboxImage: class.SandboxImage}
	}
	return out
}

// warnOfRuntimes tells of programs that are missing.
func warnOfRuntimes(ctx context.Context, s config.Config) {
	for name, path := range s.RuntimeClasses.Programs() {
		if !isProgram(path) {
			log.G(ctx).WithField("path", path).WithField("runtime", name).
				Warn("the program of a runtime is not there, containers of its class wait; sandboxes that are made once it is there have it")
		}
	}
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// lookAtRuntimes judges the runtimes of the runtime classes by a sandbox.
func (p *examination) lookAtRuntimes(ctx context.Context, r *preflight.Report) func(*sandbox.Sandbox) {
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
			usable := slices.DeleteFunc(info.Runtimes, func(name string) bool { return programs[name] != "" && !isProgram(programs[name]) })
			r.Add(preflight.Runtimes(wanted, usable, err))
		}
	}
}

// lookAtClassImages judges the sandbox images of runtime classes.
func (p *examination) lookAtClassImages(ctx context.Context, r *preflight.Report) {
	for _, name := range slices.Sorted(maps.Keys(p.settings.RuntimeClasses)) {
		if ref := p.settings.RuntimeClasses[name].SandboxImage; ref != "" {
			_, err := p.host.Image(ctx, ref)
			r.Add(preflight.ClassImage(name, ref, err))
		}
	}
}
