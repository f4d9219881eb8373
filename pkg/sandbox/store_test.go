package sandbox_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// load asks a store for an image that its engine has.
func load(t *testing.T, s *sandbox.ImageStore) {
	t.Helper()
	err := s.Load(t.Context(), "sha256:app", func(context.Context, *engine.Client) (string, error) {
		t.Error("an image that is there is copied")
		return "", nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStore_OneEngine(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		dir := filepath.Join(config.Dir, "images")
		s, err := sandbox.NewImageStore(config, dir, host)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { load(t, s) })
		}
		all.Wait()
		first := host.Only(t)
		mounts := []engine.Mount{{Source: config.Init, Target: "/docker-sd-init", ReadOnly: true}, {Source: dir, Target: "/run/docker-sd/folder"},
			{Source: sandbox.StoreVolumeName(config.Instance), Target: "/var/lib/docker", Volume: true, Instance: config.Instance}}
		if first.Spec.Network != "none" || !slices.Equal(first.Spec.Mounts, mounts) || first.Labels[engine.LabelSandbox] != "" {
			t.Errorf("the store's container is %+v", first.Spec)
		}
		host.Kill(first.ID)
		load(t, s)
		if again := host.Only(t); again.ID != first.ID || again.State.Status != engine.StatusRunning {
			t.Errorf("after its end: container %s is %s", again.ID, again.State.Status)
		}
		host.Inner.Stop(dir)
		config.Image = "another:image"
		next, err := sandbox.NewImageStore(config, dir, host)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		load(t, next)
		if now := host.Only(t); now.Spec.Image != "another:image" {
			t.Errorf("with another SandboxImage the store runs %s", now.Spec.Image)
		}
	})
}

// TestHostLayersAreReadOnly: what one sandbox could write there, all engines of
// the host would run (protocol 8.2).
func TestHostLayersAreReadOnly(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.Store = "/var/lib/docker"
		open(t, host, config).boot(t, sandbox.Spec{})
		var seen []string
		for _, m := range host.Only(t).Spec.Mounts {
			if !strings.HasPrefix(m.Source, config.Store) {
				continue
			}
			seen = append(seen, m.Source)
			if !m.ReadOnly {
				t.Errorf("%s of the host is writable in the sandbox", m.Source)
			}
		}
		if want := []string{"/var/lib/docker/overlay2", "/var/lib/docker/image"}; !slices.Equal(seen, want) {
			t.Errorf("the sandbox mounts %q of the host's store, want %q", seen, want)
		}
	})
}

func TestStore_IsSharedReadOnly(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.StoreVolume = sandbox.StoreVolumeName(config.Instance)
		s := open(t, host, config).boot(t, sandbox.Spec{})
		c := host.Only(t)
		shared := engine.Mount{Source: config.StoreVolume, Target: "/run/docker-sd/store", Volume: true, ReadOnly: true, Instance: config.Instance}
		if !slices.Contains(c.Spec.Mounts, shared) || !slices.Contains(c.Spec.Entrypoint, "-store") {
			t.Errorf("mounts %+v, command %q", c.Spec.Mounts, c.Spec.Entrypoint)
		}
		if want := sandbox.StoredName("sha256:sandbox"); s.Image != want || !strings.HasSuffix(want, ":sandbox") {
			t.Errorf("its image is called %s inside, want %s", s.Image, want)
		}
	})
}
