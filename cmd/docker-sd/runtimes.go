package main

import (
	"context"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
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
		if !machine.IsProgram(path) {
			log.G(ctx).WithField("path", path).WithField("runtime", name).
				Warn("the program of a runtime is not there, containers of its class wait; sandboxes that are made once it is there have it")
		}
	}
}
