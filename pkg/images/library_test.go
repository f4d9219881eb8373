package images_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
)

// shelf is a library in memory; a load takes a second.
type shelf struct {
	mu  sync.Mutex
	has map[string]string
	// away says that its engine answers only once a load has started it.
	away bool
}

func (s *shelf) Has(_ context.Context, hostID string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return false, errdefs.ErrUnavailable
	}
	return s.has[hostID] != "", nil
}

func (s *shelf) Load(ctx context.Context, hostID string, copyTo func(context.Context, *engine.Client) (string, error)) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = false
	if s.has[hostID] != "" {
		return nil
	}
	id, err := copyTo(ctx, nil)
	if err == nil {
		s.has[hostID] = id
	}
	return err
}

func (s *shelf) List(context.Context) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.has), nil
}

func (s *shelf) Drop(_ context.Context, hostID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has, hostID)
	return nil
}

func (s *shelf) names() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(s.has)), " ")
}

// forget has the host drop an image, under its name and its id.
func (h *host) forget(names ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		delete(h.local, name)
	}
}

func newShelf(h *host) (*shelf, *images.Provider, func() int) {
	s := &shelf{has: map[string]string{}}
	h.local["docker.io/library/sandbox:1"] = engine.Image{ID: "sha256:box"}
	h.local["sha256:box"] = engine.Image{ID: "sha256:box"}
	var mu sync.Mutex
	changes := 0
	p := images.New(images.Config{Instance: "i", Shared: true, Library: s, SandboxImage: "sandbox:1",
		LibraryChanged: func() { mu.Lock(); defer mu.Unlock(); changes++ }}, h)
	return s, p, func() int { mu.Lock(); defer mu.Unlock(); return changes }
}

func TestLibrary_OneImportForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.local[ref] = engine.Image{ID: "sha256:app"}
		s, p, changes := newShelf(h)
		defer p.Close()
		var pods sync.WaitGroup
		for range 20 {
			pods.Go(func() {
				if image, err := p.OnHost(t.Context(), images.Want{Ref: ref, Policy: v1.PullIfNotPresent}); err != nil || image.ID != "sha256:app" {
					t.Errorf("%v, %v", image, err)
				}
				if s.names() != "sha256:app" {
					t.Error("a pod goes on before its image is there")
				}
			})
		}
		pods.Wait()
		s.away = true
		if _, err := p.OnHost(t.Context(), images.Want{Ref: ref}); err != nil {
			t.Error(err)
		}
		if len(h.copies) != 1 || changes() != 1 {
			t.Errorf("%d imports and %d changes for one image", len(h.copies), changes())
		}
	})
}

// TestLibrary_Fails: a pod whose image cannot be imported gets a copy, so that is
// no error of its image.
func TestLibrary_Fails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.local[ref] = engine.Image{ID: "sha256:app"}
		_, p, changes := newShelf(h)
		defer p.Close()
		h.copyErr = errors.New("no space left on device")
		if image, err := p.OnHost(t.Context(), images.Want{Ref: ref}); err != nil || image.ID != "sha256:app" {
			t.Errorf("%v, %v", image, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.OnHost(ctx, images.Want{Ref: ref}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a pod that is deleted meanwhile gets %v", err)
		}
		if changes() != 0 {
			t.Error("sandboxes are renewed for nothing")
		}
	})
}

// TestLibrary_FollowsTheHost: what the host dropped goes, but nothing that a pod
// holds, under its id on the host or inside; and the sandboxes' own image comes.
func TestLibrary_FollowsTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		s, p, changes := newShelf(h)
		defer p.Close()
		for _, name := range []string{"a", "b", "c", "kept"} {
			id := "sha256:" + name
			s.has[id], h.local[id] = "inner-"+id, engine.Image{ID: id}
		}
		p.Hold("one", "sha256:b")
		p.Hold("two", "inner-sha256:c")
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { p.Run(ctx) })
		defer run.Wait()
		defer cancel()
		now := func(want string) {
			t.Helper()
			if got := s.names(); got != want {
				t.Errorf("the library has %s, want %s", got, want)
			}
		}
		advance(time.Minute)
		now("sha256:a sha256:b sha256:box sha256:c sha256:kept")
		h.forget("sha256:a", "sha256:b", "sha256:c")
		before := changes()
		advance(20 * time.Minute)
		now("sha256:b sha256:box sha256:c sha256:kept")
		if changes() != before+1 {
			t.Errorf("sandboxes were renewed %d times", changes()-before)
		}
		p.Drop("one")
		p.Drop("two")
		advance(20 * time.Minute)
		now("sha256:box sha256:kept")
		if held := h.held(); held != "" {
			t.Errorf("containers hold %s on the host", held)
		}
		if got := fmt.Sprint(h.copies); got != "[sha256:box]" {
			t.Errorf("imports %s", got)
		}
	})
}
