package sandbox_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestVolumesThatTheEngineLeft: a volume that the engine could not remove with its
// container is removed, emptied first where that is what it takes.
func TestVolumesThatTheEngineLeft(t *testing.T) {
	name := strings.Repeat("0f", 32)
	tooDeep := errors.New("openfdat: too many open files")
	for what, c := range map[string]struct {
		name string
		path func(dir string) string
		err  error
		dry  bool
		// emptied says that its files are removed, kept that it stays.
		emptied, kept bool
	}{
		"the engine can":             {name: name},
		"it is too deep":             {name: name, err: tooDeep, emptied: true},
		"it is used":                 {name: name, err: errdefs.ErrConflict, kept: true},
		"the engine is away":         {name: name, err: errdefs.ErrUnavailable, kept: true},
		"an image store's":           {name: sandbox.StoreVolumeName("test"), kept: true},
		"elsewhere than it should":   {name: name, err: tooDeep, kept: true, path: func(dir string) string { return dir }},
		"strays are only to be told": {name: name, dry: true, kept: true},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
				path := filepath.Join(t.TempDir(), c.name, "_data")
				if c.path != nil {
					path = c.path(t.TempDir())
				}
				file := filepath.Join(path, "file")
				if err := errors.Join(os.MkdirAll(path, 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
				host.Volumes = []engine.Volume{{Name: c.name, Path: path}}
				host.Faults(func(_ context.Context, call, _ string) error {
					if _, err := os.Stat(file); call == "RemoveVolume" && err == nil {
						return c.err
					}
					return nil
				})
				r := sandbox.NewRemover(config, host, sandbox.NewNetworks(config, host), c.dry)
				_ = r.RemoveVolumes(t.Context())
				_, err := os.Stat(file)
				if kept := len(host.Volumes) == 1; kept != c.kept || errors.Is(err, os.ErrNotExist) != c.emptied {
					t.Errorf("volume kept %v, want %v; its file: %v, want it gone: %v", kept, c.kept, err, c.emptied)
				}
			})
		})
	}
}

// TestVolumeThatTakesLong: the removal of a sandbox does not wait for what another one has
// left, and whoever waits without a limit has it removed.
func TestVolumeThatTakesLong(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.RemoveFolder = func(ctx context.Context, _ string) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Minute):
				return nil
			}
		}
		p := open(t, host, config)
		s := p.boot(t, sandbox.Spec{Name: sandbox.NewName()})
		name := strings.Repeat("0f", 32)
		host.Volumes = []engine.Volume{{Name: name, Path: filepath.Join(t.TempDir(), name, "_data")}}
		tries := 0
		host.Faults(func(_ context.Context, call, _ string) error {
			if call == "RemoveVolume" {
				if tries++; tries%2 == 1 {
					return errors.New("openfdat: too many open files")
				}
			}
			return nil
		})
		began := time.Now()
		if err := p.remover.Remove(t.Context(), s.Name); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Minute || len(host.Volumes) != 1 {
			t.Errorf("the sandbox was removed after %s, with %d volumes left", took, len(host.Volumes))
		}
		if networks, err := host.ListNetworks(t.Context()); err != nil || len(networks) != 0 {
			t.Errorf("networks left: %v, %v", networks, err)
		}
		tries = 0
		if err := p.remover.RemoveVolumes(t.Context()); err != nil || len(host.Volumes) != 0 {
			t.Errorf("with time: %v, %d volumes left", err, len(host.Volumes))
		}
	})
}
