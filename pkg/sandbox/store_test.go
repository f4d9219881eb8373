package sandbox_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"

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

// TestStore_OfContainerd: the description of a host's images and the folder of their layers
// are shared read-only, and the sandbox's own image has a name inside.
func TestStore_OfContainerd(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.Store, config.StoreLayers = "/data/layers", "/containerd/snapshots"
		s := open(t, host, config).boot(t, sandbox.Spec{})
		c := host.Only(t)
		for source, target := range map[string]string{"/data/layers/overlay2": "/run/docker-sd/store/overlay2",
			"/data/layers/image": "/run/docker-sd/store/image", "/containerd/snapshots": "/run/docker-sd/layers"} {
			want := engine.Mount{Source: source, Target: target, ReadOnly: true, NonRecursive: true}
			if !slices.Contains(c.Spec.Mounts, want) {
				t.Errorf("no mount %+v among %+v", want, c.Spec.Mounts)
			}
		}
		if want := sandbox.StoredName("sha256:sandbox"); s.Image != want || !slices.Contains(c.Spec.Entrypoint, "-store") {
			t.Errorf("its image is called %s inside, want %s; command %q", s.Image, want, c.Spec.Entrypoint)
		}
	})
}

// retiring is a host with containers and volumes; those of busy volumes stay.
type retiring struct {
	containers []engine.Container
	removed    []string
	volumeErr  error
}

func (r *retiring) List(_ context.Context, labels ...string) ([]engine.Container, error) {
	if !slices.Equal(labels, []string{engine.LabelInstance + "=sd", engine.LabelStore}) {
		return nil, errdefs.ErrInvalidArgument
	}
	return r.containers, nil
}

func (r *retiring) Remove(_ context.Context, id string) error {
	r.removed = append(r.removed, id)
	return nil
}

func (r *retiring) RemoveVolume(_ context.Context, name string) error {
	r.removed = append(r.removed, name)
	return r.volumeErr
}

// TestRetireStore: a store that is not needed any more goes; its volume stays while
// sandboxes of before use it.
func TestRetireStore(t *testing.T) {
	for name, c := range map[string]struct {
		volumeErr error
		fails     bool
	}{"unused": {}, "in use": {volumeErr: errdefs.ErrConflict}, "away": {volumeErr: errdefs.ErrUnavailable, fails: true}} {
		r := &retiring{containers: []engine.Container{{ID: "store"}}, volumeErr: c.volumeErr}
		if err := sandbox.RetireStore(t.Context(), r, "sd"); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(r.removed, []string{"store", sandbox.StoreVolumeName("sd")}) {
			t.Errorf("%s: removed %q", name, r.removed)
		}
	}
}
