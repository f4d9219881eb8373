package images_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
)

const hour = time.Hour

// byAge collects what was not used for an hour.
func byAge() images.Collection {
	return images.Collection{MaximumAge: hour, MinimumAge: time.Minute, HighThresholdPercent: 100,
		InUse: func() []string { return nil }}
}

// collecting runs a collection for a while after the image app:1 was pulled.
// before is done on the host before the pull, after it when the pull is over.
func collecting(t *testing.T, c images.Collection, before, after func(*host)) (*host, *images.Provider) {
	t.Helper()
	h := newHost()
	h.registry[ref] = engine.Image{ID: "sha256:new", Size: 100, Tags: []string{"app:1"}, Digests: []string{"app@sha256:" + strings.Repeat("0", 64)}}
	before(h)
	p := images.New(images.Config{Record: filepath.Join(t.TempDir(), "images.json")}, h)
	t.Cleanup(p.Close)
	if _, err := p.OnHost(t.Context(), images.Want{Ref: "app:1", Policy: v1.PullAlways}); err != nil {
		t.Fatal(err)
	}
	after(h)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
	defer cancel()
	p.Collect(ctx, c)
	return h, p
}

func nothing(*host) {}

func has(h *host) bool {
	_, err := h.Image(context.Background(), ref)
	return err == nil
}

func TestCollect_ByAge(t *testing.T) {
	for name, test := range map[string]struct {
		before, after func(*host)
		change        func(*images.Collection)
		stays         bool
	}{
		"unused":                      {},
		"dry run":                     {change: func(c *images.Collection) { c.DryRun = true }, stays: true},
		"no limit":                    {change: func(c *images.Collection) { c.MaximumAge = 0 }, stays: true},
		"there before":                {before: func(h *host) { h.local[ref] = engine.Image{ID: "sha256:old"} }, stays: true},
		"there before without a name": {before: func(h *host) { h.others = []engine.Image{{ID: "sha256:new"}} }, stays: true},
		"a container's": {after: func(h *host) {
			h.containers["c"] = engine.Container{ID: "c", Name: "c", ImageID: "sha256:new"}
		}, stays: true},
		"another container's": {after: func(h *host) {
			h.containers["c"] = engine.Container{ID: "c", Name: "c", ImageID: "sha256:x"}
		}},
		"a pod's":              {change: func(c *images.Collection) { c.InUse = func() []string { return []string{"app:1"} } }, stays: true},
		"another image's base": {after: func(h *host) { h.others = []engine.Image{{ID: "sha256:x", Parent: "sha256:new"}} }, stays: true},
		"named by others": {after: func(h *host) {
			image := h.local[ref]
			image.Tags = append(image.Tags, "mine:1")
			h.local[ref] = image
		}, stays: true},
		"pushed elsewhere by others": {after: func(h *host) {
			image := h.local[ref]
			image.Digests = append(image.Digests, "elsewhere.example/app@sha256:"+strings.Repeat("0", 64))
			h.local[ref] = image
		}, stays: true},
		"replaced by others": {after: func(h *host) { h.local[ref] = engine.Image{ID: "sha256:theirs"} }, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := byAge()
				if test.change != nil {
					test.change(&c)
				}
				if test.before == nil {
					test.before = nothing
				}
				if test.after == nil {
					test.after = nothing
				}
				h, _ := collecting(t, c, test.before, test.after)
				if has(h) != test.stays {
					t.Errorf("the image is there: %t, want %t", has(h), test.stays)
				}
			})
		})
	}
}

func TestCollect_UseCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := collecting(t, images.Collection{MaximumAge: 3 * hour, HighThresholdPercent: 100, InUse: func() []string { return nil }}, nothing, nothing)
		if _, err := p.OnHost(t.Context(), images.Want{Ref: "app:1", Policy: v1.PullIfNotPresent}); err != nil {
			t.Fatal(err)
		}
		for _, stays := range []bool{true, false} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*hour)
			p.Collect(ctx, images.Collection{MaximumAge: 3 * hour, HighThresholdPercent: 100, InUse: func() []string { return nil }})
			cancel()
			if has(h) != stays {
				t.Errorf("the image is there: %t, want %t", has(h), stays)
			}
		}
	})
}

func TestCollect_ByDisk(t *testing.T) {
	for name, test := range map[string]struct {
		free    int64
		minimum time.Duration
		gone    string
	}{
		"enough":              {free: 200, gone: ""},
		"one has to go":       {free: 140, gone: "a"},
		"two have to go":      {free: 20, gone: "a b"},
		"all, and not enough": {free: 0, gone: "a b"},
		"all too young":       {free: 20, minimum: 3 * hour, gone: ""},
		"one old enough":      {free: 20, minimum: 90 * time.Minute, gone: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost()
				p := images.New(images.Config{}, h)
				defer p.Close()
				for _, name := range []string{"a", "b"} {
					full := "docker.io/library/" + name + ":latest"
					h.registry[full] = engine.Image{ID: "sha256:" + name, Size: 100, Tags: []string{name + ":latest"}}
					if _, err := p.OnHost(t.Context(), images.Want{Ref: name}); err != nil {
						t.Fatal(err)
					}
					// Rounds make them older.
					ctx, cancel := context.WithTimeout(t.Context(), hour)
					p.Collect(ctx, images.Collection{HighThresholdPercent: 100, InUse: func() []string { return nil }})
					cancel()
				}
				c := images.Collection{HighThresholdPercent: 85, LowThresholdPercent: 80, MinimumAge: test.minimum,
					InUse: func() []string { return nil }, Disk: func() (images.Disk, error) {
						all, _ := h.Images(t.Context())
						return images.Disk{Total: 1000, Free: test.free + 100*int64(2-len(all))}, nil
					}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				p.Collect(ctx, c)
				var gone []string
				for _, name := range []string{"a", "b"} {
					if _, err := h.Image(t.Context(), "docker.io/library/"+name+":latest"); err != nil {
						gone = append(gone, name)
					}
				}
				if got := strings.Join(gone, " "); got != test.gone {
					t.Errorf("removed %q, want %q", got, test.gone)
				}
			})
		})
	}
}

// TestCollect_AfterRestart: the record outlives docker-sd, also one that was
// killed while it pulled.
func TestCollect_AfterRestart(t *testing.T) {
	for name, record := range map[string]string{
		"complete":  `{"docker.io/library/app:1":{"id":"sha256:new","repository":"docker.io/library/app","used":"1999-01-01T00:00:00Z","unused":3600000000000}}`,
		"under way": `{"docker.io/library/app:1":{"before":["sha256:x"],"repository":"docker.io/library/app","used":"1999-01-01T00:00:00Z","unused":3600000000000}}`,
		"there":     `{"docker.io/library/app:1":{"before":["sha256:new"],"repository":"docker.io/library/app","used":"1999-01-01T00:00:00Z","unused":3600000000000}}`,
		"broken":    `{"docker.io`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "images.json")
				if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
					t.Fatal(err)
				}
				h := newHost()
				h.local[ref] = engine.Image{ID: "sha256:new", Tags: []string{"app:1"}}
				p := images.New(images.Config{Record: path}, h)
				defer p.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				p.Collect(ctx, byAge())
				if stays := name == "there" || name == "broken"; has(h) != stays {
					t.Errorf("the image is there: %t, want %t", has(h), stays)
				}
			})
		})
	}
}

// TestCollect_Replaced: an image that lost its name to a newer pull is ours still.
func TestCollect_Replaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := collecting(t, images.Collection{HighThresholdPercent: 100, InUse: func() []string { return nil }}, nothing, nothing)
		old := h.local[ref]
		h.local["sha256:new"] = engine.Image{ID: old.ID, Digests: old.Digests}
		h.registry[ref] = engine.Image{ID: "sha256:newer", Tags: []string{"app:1"}}
		if _, err := p.OnHost(t.Context(), images.Want{Ref: "app:1", Policy: v1.PullAlways}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*hour)
		defer cancel()
		p.Collect(ctx, byAge())
		if len(h.local) != 0 {
			t.Errorf("left: %v", h.local)
		}
	})
}

func TestDiskOf(t *testing.T) {
	dir := t.TempDir()
	if _, err := images.DiskOf(dir); err == nil {
		t.Error("a folder that is no engine's was taken for one")
	}
	if err := os.Mkdir(filepath.Join(dir, "image"), 0o700); err != nil {
		t.Fatal(err)
	}
	measure, err := images.DiskOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if disk, err := measure(); err != nil || disk.Total <= 0 || disk.Free < 0 || disk.Free > disk.Total {
		t.Errorf("disk = %+v, error %v", disk, err)
	}
}

// TestReclaim: a disk that is low takes what is unused at once, but for the minimum
// age, and says so when that fails.
func TestReclaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.registry[ref] = engine.Image{ID: "sha256:new", Size: 100, Tags: []string{"app:1"}}
		p := images.New(images.Config{Record: filepath.Join(t.TempDir(), "images.json")}, h)
		defer p.Close()
		if err := p.Fetch(t.Context(), "app:1"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			p.Collect(ctx, images.Collection{MinimumAge: time.Minute, HighThresholdPercent: 100, InUse: func() []string { return nil }})
		})
		for _, stays := range []bool{true, false} {
			if err := p.Reclaim(ctx); err != nil {
				t.Fatal(err)
			}
			if has(h) != stays {
				t.Errorf("the image is there: %v, want %v", !stays, stays)
			}
			time.Sleep(90 * time.Second)
		}
		cancel()
		running.Wait()
		if err := p.Reclaim(ctx); err == nil {
			t.Error("it was reclaimed though nobody collects")
		}
	})
}
