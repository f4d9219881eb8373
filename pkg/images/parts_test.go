package images

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/cpuguy83/dockercfg"
	"github.com/distribution/reference"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

// Each part of a Provider works alone.

func TestPins(t *testing.T) {
	p := newPins()
	changed := func() bool {
		select {
		case <-p.changed:
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		name    string
		do      func()
		changed bool
		want    string
	}{
		{"pinned", func() { p.pin("one", "a"); p.pin("one", "b") }, true, "a b"},
		{"pinned again", func() { p.pin("one", "a") }, false, "a b"},
		{"by another pod", func() { p.pin("two", "b") }, true, "a b"},
		{"unpinned", func() { p.unpin("one") }, true, "b"},
		{"unpinned again", func() { p.unpin("one") }, false, "b"},
		{"unpinned by all", func() { p.unpin("two") }, true, ""},
	} {
		step.do()
		if got := strings.Join(slices.Sorted(maps.Keys(p.all())), " "); got != step.want {
			t.Errorf("%s: pinned are %q, want %q", step.name, got, step.want)
		}
		if got := changed(); got != step.changed {
			t.Errorf("%s: changed is %v, want %v", step.name, got, step.changed)
		}
		called := false
		free := p.unlessPinned(func() { called = true }, "x", "b")
		if want := !strings.Contains(step.want, "b"); free != want || called != want {
			t.Errorf("%s: b is unpinned: %v, called %v, want %v", step.name, free, called, want)
		}
	}
}

func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlights(time.Minute)
		runs, answers := 0, make(chan error, 3)
		let := make(chan struct{})
		share := func(where string) {
			_, err := fs.share(t.Context(), task{what: "copy", where: where, ref: "r"}, nil, func(ctx context.Context, _ *flight) (string, error) {
				runs++
				select {
				case <-let:
					return "", nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			})
			answers <- err
		}
		go share("s")
		go share("s")
		synctest.Wait()
		if runs != 1 || !fs.underWay("r") || fs.underWay("other") {
			t.Errorf("%d runs for two callers, under way: %v", runs, fs.underWay("r"))
		}
		close(let)
		if first, second := <-answers, <-answers; first != nil || second != nil {
			t.Errorf("the callers get %v and %v", first, second)
		}
		let = make(chan struct{})
		go share("s")
		if err := <-answers; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the limit the caller gets %v", err)
		}
		go share("t")
		synctest.Wait()
		fs.close()
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("a caller gets %v at the end", err)
		}
		share("u")
		if err := <-answers; !errors.Is(err, context.Canceled) || fs.underWay("r") {
			t.Errorf("a caller gets %v after the end", err)
		}
	})
}

func TestRegistries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths":{"r.example":{"username":"own","password":"p"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		r := newRegistries(dir)
		named, err := reference.ParseDockerRef("r.example/app:1")
		if err != nil {
			t.Fatal(err)
		}
		pod := keyring.Keyring{dockercfg.Config{AuthConfigs: map[string]dockercfg.AuthConfig{"r.example": {Username: "pod", Password: "p"}}}}
		var asked []grant
		for _, accepted := range []string{"pod", "own"} {
			asked = nil
			if err := r.authorized(t.Context(), named, pod, func(g grant) error {
				asked = append(asked, g)
				if g.auth.User != accepted {
					return errdefs.ErrPermissionDenied
				}
				return nil
			}); err != nil {
				t.Errorf("%s: %v", accepted, err)
			}
		}
		want := []grant{{engine.Credentials{User: "pod", Password: "p", Server: "r.example"}, true}, {engine.Credentials{User: "own", Password: "p", Server: "r.example"}, false}}
		if !slices.Equal(asked, want) {
			t.Errorf("the registry was asked with %+v, want %+v", asked, want)
		}
		r.setSilent(named)
		if !r.isSilent(named) {
			t.Error("a registry that did not answer is asked again at once")
		}
		time.Sleep(silence)
		if r.isSilent(named) {
			t.Error("a registry that did not answer is never asked again")
		}
	})
}

// TestRecord_Removal: an image that was asked for stays, and a pod that asks for one that
// is being removed waits.
func TestRecord_Removal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := openRecord("")
		if err != nil {
			t.Fatal(err)
		}
		named, err := reference.ParseDockerRef("r.example/app:1")
		if err != nil {
			t.Fatal(err)
		}
		ref := named.String()
		ended, err := r.begin(named, "", nil)
		if err != nil || ended("sha256:a") != nil || !r.has(ref) {
			t.Fatalf("%v, recorded: %v", err, r.has(ref))
		}
		began := time.Now()
		time.Sleep(time.Second)
		if err := r.use(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		if _, err := r.removal(ref, began); !errdefs.IsConflict(err) {
			t.Errorf("an image that was asked for is removed: %v", err)
		}
		over, err := r.removal(ref, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		used := make(chan error, 1)
		go func() { used <- r.use(t.Context(), ref) }()
		synctest.Wait()
		if len(used) != 0 {
			t.Error("a pod is given an image that is being removed")
		}
		over()
		if err := <-used; err != nil {
			t.Error(err)
		}
	})
}
