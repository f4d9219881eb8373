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
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// display is a shelf that shows the host's own layers.
type display struct {
	shelf
	// bad images cannot be shown, folders are where the others are.
	bad     map[string]bool
	folders map[string][]string
	kept    []string
	// silent is why no image can be looked up, and asked counts loads then.
	silent error
	asked  int
}

func (d *display) Load(ctx context.Context, hostID string, _ func(context.Context, *engine.Client) (string, error)) error {
	d.mu.Lock()
	silent := d.silent
	if silent != nil {
		d.asked++
	}
	d.mu.Unlock()
	if silent != nil {
		return silent
	}
	if d.bad[hostID] {
		return errNotUnpacked
	}
	return d.shelf.Load(ctx, hostID, func(context.Context, *engine.Client) (string, error) { return "inside " + hostID, nil })
}

func (d *display) Stale(hostID string, folders []string) bool {
	return len(folders) > 0 && strings.HasPrefix(folders[0], "shown-") && !slices.Equal(folders, d.folders[hostID])
}

func (d *display) Keep(_ context.Context, pinned map[string]bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = slices.Sorted(maps.Keys(pinned))
	return nil
}

type notUnpacked struct{}

func (notUnpacked) Error() string { return "not unpacked" }

var errNotUnpacked = notUnpacked{}

// newDisplay is a host with a sandbox image, and a Provider that shows its images.
func newDisplay(h *host) (*display, *images.Provider, func() int) {
	d := &display{shelf: shelf{has: map[string]string{}}, bad: map[string]bool{}, folders: map[string][]string{}}
	h.local["docker.io/library/sandbox:1"] = engine.Image{ID: "sha256:box"}
	h.local["sha256:box"] = engine.Image{ID: "sha256:box"}
	var mu sync.Mutex
	changes := 0
	p := images.New(images.Config{Instance: "i", Shared: true, Library: d, SandboxImage: "sandbox:1",
		LibraryChanged: func() { mu.Lock(); defer mu.Unlock(); changes++ }}, h)
	return d, p, func() int { mu.Lock(); defer mu.Unlock(); return changes }
}

// TestSnapshots_AllAreShown: all images of the host are shown before a pod asks, which
// is one change. One that cannot be shown keeps no other back.
func TestSnapshots_AllAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.others = []engine.Image{{ID: "sha256:a"}, {ID: "sha256:bad"}, {ID: "sha256:b"}}
		d, p, changes := newDisplay(h)
		d.bad["sha256:bad"] = true
		defer p.Close()
		if err := p.ShowAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"sha256:a", "sha256:b"} {
			if !strings.Contains(d.names(), want) {
				t.Errorf("%s is not among %s", want, d.names())
			}
		}
		if strings.Contains(d.names(), "bad") || changes() != 1 || len(h.copies) > 0 {
			t.Errorf("%s after %d changes and %d copies", d.names(), changes(), len(h.copies))
		}
		if err := p.ShowAll(t.Context()); err != nil || changes() != 1 {
			t.Errorf("%d changes, %v, though nothing has changed", changes(), err)
		}
	})
}

// TestSnapshots_Silent: where images are looked up does not answer. It is not asked for each of
// them, since docker-sd starts with this; the next look shows them.
func TestSnapshots_Silent(t *testing.T) {
	for name, silent := range map[string]error{"away": errdefs.ErrUnavailable, "silent": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost()
				h.others = []engine.Image{{ID: "sha256:a"}, {ID: "sha256:b"}, {ID: "sha256:c"}}
				d, p, _ := newDisplay(h)
				defer p.Close()
				d.silent = fmt.Errorf("look at a snapshot: %w", silent)
				if err := p.ShowAll(t.Context()); !errors.Is(err, silent) || d.asked != 1 {
					t.Errorf("%v after %d questions", err, d.asked)
				}
				d.silent = nil
				if err := p.ShowAll(t.Context()); err != nil || !strings.Contains(d.names(), "sha256:c") {
					t.Errorf("%v, %s", err, d.names())
				}
			})
		})
	}
}

// TestSnapshots_LateImage: an image that a pod brings is shown to the pod's own sandbox; the
// pool learns of it when the engine tells of the pull, and not while the pod starts.
func TestSnapshots_LateImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.registry[ref] = engine.Image{ID: "sha256:app"}
		d, p, changes := newDisplay(h)
		defer p.Close()
		if err := p.ShowAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := changes()
		if _, err := p.OnHost(t.Context(), images.Want{Ref: ref, Policy: v1.PullIfNotPresent}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(d.names(), "sha256:app") || changes() != before {
			t.Errorf("%s after %d changes", d.names(), changes()-before)
		}
		p.Arrived(t.Context(), func() { t.Error("the pool is renewed twice") })
		if changes() != before+1 {
			t.Errorf("%d changes after the engine told of the image", changes()-before)
		}
		p.Arrived(t.Context(), func() { t.Error("the pool is renewed for nothing") })
		if changes() != before+1 {
			t.Error("the pool is renewed for an image that it shows")
		}
	})
}

// TestSnapshots_Keep: what pods hold is kept soon after they say so, and let go when they
// have ended. The host is not looked through each time.
func TestSnapshots_Keep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		d, p, _ := newDisplay(h)
		defer p.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		kept := func() string {
			time.Sleep(5 * time.Second)
			d.mu.Lock()
			defer d.mu.Unlock()
			return strings.Join(d.kept, " ")
		}
		kept()
		p.Hold("one", "sha256:app")
		p.Hold("two", "sha256:app")
		p.Hold("two", "sha256:other")
		if got := kept(); got != "sha256:app sha256:other" {
			t.Errorf("kept %q", got)
		}
		p.Drop("two")
		if got := kept(); got != "sha256:app" {
			t.Errorf("kept %q", got)
		}
		p.Drop("one")
		if got := kept(); got != "" {
			t.Errorf("kept %q", got)
		}
		cancel()
		running.Wait()
	})
}

// TestSnapshots_Stale: a sandbox that shows layers which the host has no more gets a copy, and
// loses what it shows before, since the copy would build on that. One that shows what the host
// has, or has a copy, is ready.
func TestSnapshots_Stale(t *testing.T) {
	id := func(short string) string { return "sha256:" + short + strings.Repeat("0", 62) }
	stored := sandbox.StoredName(id("aa"))
	for name, c := range map[string]struct {
		inside []string
		want   images.Presence
	}{
		"shown":       {[]string{"shown-2", "shown-1"}, images.Ready},
		"copied":      {[]string{"0123", "4567"}, images.Ready},
		"of before":   {[]string{"shown-8", "shown-7"}, images.Newer},
		"half shown":  {[]string{"shown-2"}, images.Newer},
		"not at all ": {nil, images.Newer},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost()
			h.local[ref] = engine.Image{ID: id("aa"), Tags: []string{ref}}
			d, p, _ := newDisplay(h)
			d.has[id("aa")], d.folders[id("aa")] = id("bb"), []string{"shown-2", "shown-1"}
			defer p.Close()
			e := enginetest.Start(t)
			if c.inside != nil {
				e.AddImage(enginetest.Image{ID: id("bb"), Tags: []string{stored}, Layers: c.inside})
			}
			inside, err := engine.Connect(e.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer inside.Close()
			s := &sandbox.Sandbox{Name: "s", Engine: inside}
			if _, got, err := p.Find(t.Context(), s, h.local[ref]); err != nil || got != c.want {
				t.Errorf("the image is %v in the sandbox, %v, want %v", got, err, c.want)
			}
			h.copyErr = errNotUnpacked
			_, err = p.Ensure(t.Context(), s, images.Want{Ref: ref, Policy: v1.PullIfNotPresent})
			if copied := err != nil; copied != (c.want == images.Newer) {
				t.Errorf("copied: %t, %v", copied, err)
			}
			if _, err := inside.Image(t.Context(), stored); (err == nil) != (c.want == images.Ready) {
				t.Errorf("what it showed: %v", err)
			}
		})
	}
}

// TestSnapshots_KeepSoon: what pods hold is kept soon, too, while the host's images cannot be
// looked through for a while.
func TestSnapshots_KeepSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.others = []engine.Image{{ID: "sha256:a"}}
		h.local["sha256:a"] = h.others[0]
		d, p, _ := newDisplay(h)
		defer p.Close()
		d.silent = context.DeadlineExceeded
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		time.Sleep(5*time.Minute + 10*time.Second)
		p.Hold("one", "sha256:app")
		time.Sleep(time.Second)
		d.mu.Lock()
		if got := strings.Join(d.kept, " "); got != "sha256:app" {
			t.Errorf("kept %q", got)
		}
		d.silent = nil
		d.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if !strings.Contains(d.names(), "sha256:a") {
			t.Errorf("shown: %s", d.names())
		}
		cancel()
		running.Wait()
	})
}
