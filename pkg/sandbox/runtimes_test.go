package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
