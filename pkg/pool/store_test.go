package pool_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// load asks a store for an image that its engine has.
func load(t *testing.T, s *pool.Store) {
	t.Helper()
	err := s.Load(t.Context(), "sha256:app", func(context.Context, *engine.Client) (string, error) {
		t.Error("an image that is there is copied")
		return "", nil
	})
	if err != nil {
		t.Error(err)
	}
}

// only returns the one container of a host.
func (h *fakeHost) only(t *testing.T) *fakeContainer {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.containers) != 1 {
		t.Fatalf("%d containers, want one", len(h.containers))
	}
	for _, c := range h.containers {
		return c
	}
	return nil
}

func TestStore_OneEngine(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		dir := filepath.Join(config.Dir, "images")
		s, err := pool.NewStore(config, dir, host)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { load(t, s) })
		}
		all.Wait()
		first := host.only(t)
		mounts := []engine.Mount{{Source: config.Init, Target: "/docker-sd-init", ReadOnly: true}, {Source: dir, Target: "/run/docker-sd/folder"},
			{Source: pool.StoreVolume(config.Instance), Target: "/var/lib/docker", Volume: true, Instance: config.Instance}}
		if first.spec.Network != "none" || !slices.Equal(first.spec.Mounts, mounts) || first.Labels[engine.LabelSandbox] != "" {
			t.Errorf("the store's container is %+v", first.spec)
		}
		host.kill(first.ID)
		load(t, s)
		if again := host.only(t); again.ID != first.ID || again.State.Status != engine.StatusRunning {
			t.Errorf("after its end: container %s is %s", again.ID, again.State.Status)
		}
		host.inner.stop(dir)
		config.Image = "another:image"
		next, err := pool.NewStore(config, dir, host)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		load(t, next)
		if now := host.only(t); now.spec.Image != "another:image" {
			t.Errorf("with another SandboxImage the store runs %s", now.spec.Image)
		}
	})
}

// TestHostLayersAreReadOnly: what one sandbox could write there, all engines of
// the host would run (protocol 8.2).
func TestHostLayersAreReadOnly(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Store = 1, "/var/lib/docker"
		run(t, pool.New(config, host))
		var seen []string
		for _, m := range host.only(t).spec.Mounts {
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
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.StoreVolume = 1, pool.StoreVolume(config.Instance)
		p := pool.New(config, host)
		run(t, p)
		c := host.only(t)
		shared := engine.Mount{Source: config.StoreVolume, Target: "/run/docker-sd/store", Volume: true, ReadOnly: true, Instance: config.Instance}
		if !slices.Contains(c.spec.Mounts, shared) || !slices.Contains(c.spec.Entrypoint, "-store") {
			t.Errorf("mounts %+v, command %q", c.spec.Mounts, c.spec.Entrypoint)
		}
		s := claim(t, p.Reserve(nil))
		if want := pool.StoredName("sha256:sandbox"); s.Image != want || !strings.HasSuffix(want, ":sandbox") {
			t.Errorf("its image is called %s inside, want %s", s.Image, want)
		}
	})
}

// TestSandboxRunsTheInit: from where the host's other containers cannot change it, and
// with the sandbox's folder for its sockets.
func TestSandboxRunsTheInit(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Standby = 1, 1
		run(t, pool.New(config, host))
		wantSame(t, "containers", len(host.names()), 2)
		for _, name := range host.names() {
			c := host.containers[host.idOf(name)]
			if !slices.Contains(c.spec.Mounts, engine.Mount{Source: config.Init, Target: "/docker-sd-init", ReadOnly: true}) {
				t.Errorf("%s mounts %+v, want the init read-only", name, c.spec.Mounts)
			}
			dir := folderOf(c)
			if !strings.HasPrefix(dir, config.Dir+"/") || !slices.Contains(c.spec.Mounts, engine.Mount{Source: dir + "/pod", Target: dir + "/pod"}) {
				t.Errorf("%s mounts %+v, want its folder, and that of its pod under its own name", name, c.spec.Mounts)
			}
			if want := []string{"/docker-sd-init", "boot"}; !slices.Equal(c.spec.Entrypoint[:2], want) || len(c.spec.Env) > 0 {
				t.Errorf("%s runs %q with %q, want %q and no variables", name, c.spec.Entrypoint, c.spec.Env, want)
			}
			wantSame(t, name+" is started as a standby", slices.Contains(c.spec.Entrypoint, "-standby"), strings.HasSuffix(name, "_standby"))
		}
	})
}
