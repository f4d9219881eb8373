package images_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
)

// collectFor runs a collection for a while.
func collectFor(t *testing.T, p *images.Provider, d time.Duration, c images.Collection) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	p.Collect(ctx, c)
}

// TestCollect_ClockWasSet: the times of day in a record, which a clock told that
// may have been set since, make no image old. The test's own begins in 2000.
func TestCollect_ClockWasSet(t *testing.T) {
	for name, test := range map[string]struct {
		used        string
		unused      time.Duration
		stays, gone time.Duration
	}{
		"old by its record":          {used: "1999-12-31T23:00:00Z", unused: hour, gone: time.Minute},
		"a clock set forward":        {used: "1999-01-01T00:00:00Z", unused: 30 * time.Minute, stays: 25 * time.Minute, gone: 40 * time.Minute},
		"a clock set back":           {used: "2090-01-01T00:00:00Z", unused: 30 * time.Minute, stays: 25 * time.Minute, gone: 40 * time.Minute},
		"used in the future":         {used: "2090-01-01T00:00:00Z", stays: 55 * time.Minute, gone: 70 * time.Minute},
		"of a docker-sd from before": {used: "1999-01-01T00:00:00Z", stays: 55 * time.Minute, gone: 70 * time.Minute},
		"no age that can be":         {used: "1999-01-01T00:00:00Z", unused: -hour, stays: 55 * time.Minute, gone: 70 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "images.json")
				record := fmt.Sprintf(`{%q:{"id":"sha256:new","repository":"docker.io/library/app","used":%q,"unused":%d}}`, ref, test.used, test.unused)
				if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
					t.Fatal(err)
				}
				h := newHost()
				h.local[ref] = engine.Image{ID: "sha256:new", Tags: []string{"app:1"}}
				p := images.New(images.Config{Record: path}, h)
				defer p.Close()
				if test.stays > 0 {
					collectFor(t, p, test.stays, byAge())
					if !has(h) {
						t.Fatalf("the image is gone after less than %s", test.stays)
					}
				}
				collectFor(t, p, test.gone-test.stays, byAge())
				if has(h) {
					t.Errorf("the image is still there after %s", test.gone)
				}
			})
		})
	}
}

// TestCollect_Restarts: the age of an image goes on after a restart, without the
// time between.
func TestCollect_Restarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "images.json")
		h := newHost()
		h.registry[ref] = engine.Image{ID: "sha256:new", Tags: []string{"app:1"}}
		for run, stays := range []bool{true, true, false} {
			p := images.New(images.Config{Record: path}, h)
			if run == 0 {
				if err := p.Fetch(t.Context(), "app:1"); err != nil {
					t.Fatal(err)
				}
			}
			collectFor(t, p, 24*time.Minute, byAge())
			p.Close()
			if has(h) != stays {
				t.Fatalf("run %d: the image is there: %t, want %t", run, has(h), stays)
			}
			advance(365 * 24 * hour)
		}
	})
}

// TestCollect_KeepsTheOrderOfUse: images whose record has no age are removed in
// the order of their use, however often docker-sd is started.
func TestCollect_KeepsTheOrderOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "images.json")
		h, entries := newHost(), []string{}
		for name, used := range map[string]string{"a": "1999-03-01", "b": "1999-01-01", "c": "1999-02-01"} {
			full := "docker.io/library/" + name + ":1"
			h.local[full] = engine.Image{ID: "sha256:" + name, Size: 100, Tags: []string{name + ":1"}}
			entries = append(entries, fmt.Sprintf(`%q:{"id":"sha256:%s","repository":"docker.io/library/%s","used":"%sT00:00:00Z"}`, full, name, name, used))
		}
		if err := os.WriteFile(path, []byte("{"+strings.Join(entries, ",")+"}"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := images.Collection{HighThresholdPercent: 85, LowThresholdPercent: 80, InUse: func() []string { return nil }}
		for _, free := range []int64{900, 900, 120} {
			c.Disk = func() (images.Disk, error) { return images.Disk{Total: 1000, Free: free}, nil }
			p := images.New(images.Config{Record: path}, h)
			collectFor(t, p, time.Minute, c)
			p.Close()
		}
		if _, there := h.local["docker.io/library/b:1"]; there || len(h.local) != 2 {
			t.Errorf("left: %v, want all but the one that was not used for the longest time", h.local)
		}
	})
}

// away is a host that can be told not to answer.
type away struct {
	*host
	is bool
}

func (a *away) List(ctx context.Context, labels ...string) ([]engine.Container, error) {
	if a.is {
		return nil, errdefs.ErrUnavailable
	}
	return a.host.List(ctx, labels...)
}

// TestCollect_WithoutRounds: while the engine is away nobody can use an image, and
// what it may still become older by is no reason to remove all of them.
func TestCollect_WithoutRounds(t *testing.T) {
	for name, test := range map[string]struct {
		before time.Duration
		stays  bool
	}{
		"young": {30 * time.Minute, true},
		"old":   {55 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &away{host: newHost()}
				a.registry[ref] = engine.Image{ID: "sha256:new", Tags: []string{"app:1"}}
				p := images.New(images.Config{}, a)
				defer p.Close()
				if err := p.Fetch(t.Context(), "app:1"); err != nil {
					t.Fatal(err)
				}
				collectFor(t, p, test.before, byAge())
				a.is = true
				collectFor(t, p, 48*hour, byAge())
				a.is = false
				collectFor(t, p, time.Minute, byAge())
				if has(a.host) != test.stays {
					t.Errorf("the image is there: %t, want %t", has(a.host), test.stays)
				}
			})
		})
	}
}
