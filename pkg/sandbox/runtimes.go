package sandbox

import (
	"maps"
	"os"
	"path"
	"slices"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// runtimeFlags tell the engine of a sandbox of the runtimes that the host brings, and of docker-sd's own.
func (c Config) runtimeFlags() []string {
	var out []string
	if c.Amends {
		out = append(out, "--add-runtime="+initapi.AmendingRuntime+"="+runtimePath(initapi.AmendingRuntime))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Runtimes)) {
		out = append(out, "--add-runtime="+name+"="+runtimePath(name))
	}
	return out
}

// ulimitFlags give the containers in a sandbox their limits.
func (c Config) ulimitFlags() []string {
	var out []string
	for _, limit := range c.Ulimits {
		out = append(out, initapi.UlimitFlag+limit)
	}
	return out
}

// runtimeMounts are the programs of these runtimes. One of the host that is missing now keeps no sandbox
// from being made; what needs it waits.
func (c Config) runtimeMounts() []engine.Mount {
	var out []engine.Mount
	if c.Amends {
		out = append(out, engine.Mount{Source: c.Init, Target: runtimePath(initapi.AmendingRuntime), ReadOnly: true})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Runtimes)) {
		if info, err := os.Stat(c.Runtimes[name]); err != nil || !info.Mode().IsRegular() {
			continue
		}
		out = append(out, engine.Mount{Source: c.Runtimes[name], Target: runtimePath(name), ReadOnly: true})
	}
	return out
}

// runtimePath is where the program of a runtime of the host is in a sandbox.
func runtimePath(name string) string { return path.Join(initapi.RuntimesPath, name) }
