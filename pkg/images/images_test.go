package images_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is an engine in memory: images by reference, a registry that is asked by
// Pull, and containers.
type host struct {
	mu       sync.Mutex
	local    map[string]engine.Image
	registry map[string]engine.Image
	// others have no reference here.
	others []engine.Image
	pulls  []engine.Credentials
	// sources are what Pull was asked for; down are hosts of registries that do not answer.
	sources []string
	down    map[string]bool
	pullErr error
	// asked are what ConfirmImage was asked for; confirm is its answer.
	asked      []string
	confirm    func(engine.Credentials) error
	copies     []string
	copyErr    error
	gate       chan struct{}
	containers map[string]engine.Container
}

func (h *host) Image(_ context.Context, ref string) (engine.Image, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if image, found := h.local[ref]; found {
		return image, nil
	}
	return engine.Image{}, fmt.Errorf("image %s: %w", ref, errdefs.ErrNotFound)
}

func (h *host) Pull(ctx context.Context, ref string, auth engine.Credentials, report func(engine.PullProgress)) error {
	if h.gate != nil {
		select {
		case <-h.gate:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // also where the gate is open by now
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulls, h.sources = append(h.pulls, auth), append(h.sources, ref)
	if h.pullErr != nil {
		return h.pullErr
	}
	image, found := h.registry[ref]
	if !found {
		return fmt.Errorf("manifest unknown: %w", errdefs.ErrNotFound)
	}
	h.local[ref] = image
	return nil
}

func (h *host) CopyImage(_ context.Context, _ *engine.Client, ref string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.copies = append(h.copies, ref)
	return "inner-" + ref, h.copyErr
}

func (h *host) List(context.Context, ...string) ([]engine.Container, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []engine.Container
	for _, c := range h.containers {
		out = append(out, c)
	}
	return out, nil
}

func (h *host) Create(_ context.Context, spec engine.Spec) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.containers[spec.Name] = engine.Container{ID: spec.Name, Name: spec.Name, Image: spec.Image}
	return spec.Name, nil
}

func (h *host) Remove(_ context.Context, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.containers, id)
	return nil
}

func (h *host) Images(context.Context) ([]engine.Image, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append(slices.Collect(maps.Values(h.local)), h.others...), nil
}

func (h *host) RemoveImage(_ context.Context, ref string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.local, ref)
	return nil
}

func (h *host) held() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, c := range h.containers {
		out = append(out, c.Image)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

const ref = "docker.io/library/app:1"

func newHost() *host {
	return &host{local: map[string]engine.Image{}, registry: map[string]engine.Image{}, containers: map[string]engine.Container{}}
}

func TestOnHost(t *testing.T) {
	old, fresh := engine.Image{ID: "sha256:old"}, engine.Image{ID: "sha256:new"}
	for _, test := range []struct {
		name            string
		ref             string
		policy          v1.PullPolicy
		local, registry bool
		pullErr         error
		want, reason    string
		pulls           int
	}{
		{name: "present", policy: v1.PullIfNotPresent, local: true, registry: true, want: "sha256:old"},
		{name: "absent", policy: v1.PullIfNotPresent, registry: true, want: "sha256:new", pulls: 1},
		{name: "always asks", policy: v1.PullAlways, local: true, registry: true, want: "sha256:new", pulls: 1},
		{name: "always, offline", policy: v1.PullAlways, local: true, pullErr: errors.New("no such host"), want: "sha256:old", pulls: 1},
		{name: "always, absent and offline", policy: v1.PullAlways, pullErr: errors.New("no such host"), reason: images.ReasonPull, pulls: 1},
		{name: "always, refused", policy: v1.PullAlways, local: true, pullErr: fmt.Errorf("unauthorized: %w", errdefs.ErrPermissionDenied), reason: images.ReasonPull, pulls: 1},
		{name: "always, gone from its registry", policy: v1.PullAlways, local: true, reason: images.ReasonPull, pulls: 1},
		{name: "never, present", policy: v1.PullNever, local: true, want: "sha256:old"},
		{name: "never, absent", policy: v1.PullNever, registry: true, reason: images.ReasonNever},
		{name: "unknown", policy: v1.PullIfNotPresent, reason: images.ReasonPull, pulls: 1},
		{name: "no image name", ref: "UPPER//case", policy: v1.PullIfNotPresent, reason: images.ReasonInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost()
			h.pullErr = test.pullErr
			if test.local {
				h.local[ref] = old
			}
			if test.registry {
				h.registry[ref] = fresh
			}
			p := images.New(images.Config{}, h)
			defer p.Close()
			want := images.Want{Ref: "app:1", Policy: test.policy}
			if test.ref != "" {
				want.Ref = test.ref
			}
			image, err := p.OnHost(t.Context(), want)
			failure := &images.PullError{}
			switch {
			case test.reason == "" && err != nil:
				t.Fatal(err)
			case test.reason == "" && image.ID != test.want:
				t.Errorf("got %s, want %s", image.ID, test.want)
			case test.reason != "" && (!errors.As(err, &failure) || failure.Reason != test.reason):
				t.Errorf("got error %v, want reason %s", err, test.reason)
			}
			if len(h.pulls) != test.pulls {
				t.Errorf("%d pulls, want %d", len(h.pulls), test.pulls)
			}
		})
	}
}

func TestOnHost_AsksASilentRegistryOnce(t *testing.T) {
	h := newHost()
	h.local[ref], h.pullErr = engine.Image{ID: "sha256:old"}, errors.New("no such host")
	p := images.New(images.Config{}, h)
	defer p.Close()
	for range 5 {
		if _, err := p.OnHost(t.Context(), images.Want{Ref: "app:1", Policy: v1.PullAlways}); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.pulls) != 1 {
		t.Errorf("a registry that does not answer was asked %d times in a row, want 1", len(h.pulls))
	}
}

func TestOnHost_OnePullForAll(t *testing.T) {
	h := newHost()
	h.registry[ref], h.gate = engine.Image{ID: "sha256:new"}, make(chan struct{})
	p := images.New(images.Config{}, h)
	defer p.Close()
	impatient, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := p.OnHost(impatient, images.Want{Ref: "app:1"})
		left <- err
	}()
	var waiters sync.WaitGroup
	for range 20 {
		waiters.Go(func() {
			if image, err := p.OnHost(t.Context(), images.Want{Ref: "app:1"}); err != nil || image.ID != "sha256:new" {
				t.Errorf("got %s, error %v", image.ID, err)
			}
		})
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves got %v", err)
	}
	close(h.gate)
	waiters.Wait()
	// A waiter that came after the pull had ended finds the image on the host.
	if len(h.pulls) != 1 {
		t.Errorf("%d pulls for 21 waiters, want 1", len(h.pulls))
	}
}

func TestClose_EndsPulls(t *testing.T) {
	h := newHost()
	h.gate = make(chan struct{})
	p := images.New(images.Config{}, h)
	ended := make(chan error, 1)
	go func() {
		_, err := p.OnHost(t.Context(), images.Want{Ref: "app:1"})
		ended <- err
	}()
	p.Close()
	if err := <-ended; err == nil {
		t.Error("a pull went on after Close")
	}
}

func TestCredentials(t *testing.T) {
	auth := func(registry, user string) string {
		return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, registry, base64.StdEncoding.EncodeToString([]byte(user+":secret")))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(auth("registry.example.com:5000", "own")), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := func(registry, user string) keyring.Keyring {
		return keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{v1.DockerConfigJsonKey: []byte(auth(registry, user))}}})
	}
	for _, test := range []struct {
		name, ref, user string
		keys            keyring.Keyring
	}{
		{name: "own", ref: "registry.example.com:5000/a:1", user: "own"},
		{name: "the pod's come first", ref: "registry.example.com:5000/a:1", keys: secret("registry.example.com:5000", "pod"), user: "pod"},
		{name: "the pod's are for another", ref: "registry.example.com:5000/a:1", keys: secret("other.example.com", "pod"), user: "own"},
		{name: "anonymous", ref: "public.example.com/a:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost()
			p := images.New(images.Config{DockerConfig: dir}, h)
			defer p.Close()
			_, _ = p.OnHost(t.Context(), images.Want{Ref: test.ref, Keys: test.keys})
			if len(h.pulls) != 1 || h.pulls[0].User != test.user {
				t.Errorf("pulled as %+v, want user %q", h.pulls, test.user)
			}
		})
	}
}

func TestHold(t *testing.T) {
	h := newHost()
	h.containers["left"] = engine.Container{ID: "left", Name: "left", Image: "sha256:left"}
	p := images.New(images.Config{Instance: "test", Shared: true}, h)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	defer running.Wait()
	defer cancel()
	p.Hold("one", "sha256:a")
	p.Hold("one", "sha256:b")
	p.Hold("two", "sha256:b")
	await(t, "held", h.held, "sha256:a sha256:b")
	p.Drop("one")
	await(t, "held", h.held, "sha256:b")
	p.Drop("two")
	await(t, "held", h.held, "")
}

func await[T comparable](t *testing.T, what string, get func() T, want T) {
	t.Helper()
	tick, deadline := time.NewTicker(time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for get() != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: %v, want %v", what, get(), want)
		}
	}
}

func TestLayers(t *testing.T) {
	overlay := engine.Info{StorageDriver: "overlay2", RootDir: "/var/lib/docker"}
	containerd := engine.Info{StorageDriver: "overlayfs", RootDir: "/var/lib/docker"}
	for _, test := range []struct {
		mode    images.Mode
		host    engine.Info
		root    string
		library bool
	}{
		{"auto", overlay, "/var/lib/docker", false},
		{"shared", overlay, "/var/lib/docker", false},
		{images.ModeCopy, overlay, "", false},
		{images.ModePull, overlay, "", false},
		{"auto", containerd, "", true},
		{"shared", containerd, "", true},
		{images.ModeCopy, containerd, "", false},
		{images.ModePull, containerd, "", false},
	} {
		if got := images.Layers(test.mode, test.host); got.Root != test.root || got.Library != test.library || got.Why == "" {
			t.Errorf("%s on %s: %+v, want %q, %t", test.mode, test.host.StorageDriver, got, test.root, test.library)
		}
	}
}

// ConfirmImage says what the registry would: of the host it is known by credentials.
func (h *host) ConfirmImage(_ context.Context, ref string, auth engine.Credentials) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, ref)
	if h.confirm == nil {
		return nil
	}
	return h.confirm(auth)
}
