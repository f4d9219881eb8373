package main

import (
	"context"
	"os"

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
		out[name] = podspec.RuntimeClass{Runtime: class.Runtime}
	}
	return out
}

// runtimePrograms are the programs of this host that run containers in sandboxes. Where one
// is missing, its pods wait and say so; an engine would make no sandbox with it.
func runtimePrograms(ctx context.Context, s config.Config) map[string]string {
	out := map[string]string{}
	for name, path := range s.RuntimeClasses.Programs() {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			log.G(ctx).WithField("path", path).WithField("runtime", name).
				Warn("the program of a runtime is not there, containers of its class wait: put it there and restart docker-sd")
			continue
		}
		out[name] = path
	}
	return out
}

// lookAtRuntimes judges the runtimes of the runtime classes by a sandbox.
func (p *examination) lookAtRuntimes(ctx context.Context, r *preflight.Report) func(*sandbox.Sandbox) {
	wanted := map[string]string{}
	for name, class := range p.settings.RuntimeClasses {
		if class.Runtime != "" {
			wanted[name] = class.Runtime
		}
	}
	return func(s *sandbox.Sandbox) {
		if len(wanted) > 0 {
			info, err := s.Engine.Info(ctx)
			r.Add(preflight.Runtimes(wanted, info.Runtimes, err))
		}
	}
}
