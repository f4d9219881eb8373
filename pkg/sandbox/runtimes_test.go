package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestRuntimesOfTheHost: the engine is told of each, and has its program read-only. One that is
// missing keeps no sandbox from being made.
func TestRuntimesOfTheHost(t *testing.T) {
	program := filepath.Join(t.TempDir(), "crun")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	wantFlags := []string{"--add-runtime=crun=/run/docker-sd/runtimes/crun", "--add-runtime=gone=/run/docker-sd/runtimes/gone"}
	wantMounts := []string{program + ":/run/docker-sd/runtimes/crun:true"}
	for name, spec := range map[string]sandbox.Spec{"of the pool": {}, "of an image": {Image: "own:1"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
				config.Runtimes = map[string]string{"crun": program, "gone": program + "-gone"}
				spec.Name = sandbox.NewName()
				s, err := open(t, host, config).maker.Boot(t.Context(), spec)
				if err != nil {
					t.Fatal(err)
				}
				made := host.Containers[s.ID].Spec
				var flags, mounts []string
				for _, word := range made.Entrypoint {
					if strings.HasPrefix(word, "--add-runtime=") {
						flags = append(flags, word)
					}
				}
				for _, m := range made.Mounts {
					if strings.Contains(m.Target, "runtimes") {
						mounts = append(mounts, fmt.Sprintf("%s:%s:%t", m.Source, m.Target, m.ReadOnly))
					}
				}
				if !slices.Equal(flags, wantFlags) || !slices.Equal(mounts, wantMounts) {
					t.Errorf("flags %q and mounts %q, want %q and %q", flags, mounts, wantFlags, wantMounts)
				}
			})
		})
	}
}

// TestAmendingRuntime: the engine is told of the runtime that is the init, where there is
// something to amend.
func TestAmendingRuntime(t *testing.T) {
	for _, amends := range []bool{true, false} {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
			config.Amends = amends
			s, err := open(t, host, config).maker.Boot(t.Context(), sandbox.Spec{Name: sandbox.NewName()})
			if err != nil {
				t.Fatal(err)
			}
			const path = "/run/docker-sd/runtimes/docker-sd-amend"
			made := host.Containers[s.ID].Spec
			mounted := slices.Contains(made.Mounts, engine.Mount{Source: config.Init, Target: path, ReadOnly: true})
			if told := slices.Contains(made.Entrypoint, "--add-runtime=docker-sd-amend="+path); told != amends || mounted != amends {
				t.Errorf("amends %t: the engine is told %t, and the program is mounted %t", amends, told, mounted)
			}
		})
	}
}
