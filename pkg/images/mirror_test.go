package images_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/mirrors"
)

// fallbacks are the mirrors that an Observer was told of.
type fallbacks struct {
	mu   sync.Mutex
	told []string
}

func (f *fallbacks) Pulled(int64) {}

func (f *fallbacks) Step(ctx context.Context, step string, of ...string) (context.Context, func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if step == images.StepMirror {
		f.told = append(f.told, strings.Join(of, " "))
	}
	return ctx, func(error) {}
}

var (
	oneDigest   = "sha256:" + strings.Repeat("1", 64)
	otherDigest = "sha256:" + strings.Repeat("2", 64)
)

// at is an image as an engine has it that pulled it by its digest. With the containerd store
// it lists that among the tags as well.
func at(repository, digest string) engine.Image {
	out := engine.Image{ID: digest, Digests: []string{repository + "@" + digest}}
	if strings.Contains(repository, ".example/") {
		out.Tags = out.Digests
	}
	return out
}

// offer has a registry of the host give an image by a tag and by its digest.
func (h *host) offer(repository, tag, digest string) {
	h.registry[repository+":"+tag] = at(repository, digest)
	h.registry[repository+"@"+digest] = at(repository, digest)
}

const mirroredHub, firstMirror, secondMirror = "docker.io/library/app", "first.example/library/app", "second.example/hub/library/app"

// mirrorTests are what hosts, registries and mirrors have, and where an image comes from then.
var mirrorTests = []struct {
	name   string
	ref    string
	policy v1.PullPolicy
	// offers are the repositories that have the image; local is on the host.
	offers []string
	local  bool
	down   string
	locked bool
	// sources are the pulls, and failed the mirrors that people are told of.
	sources, failed []string
	digest          string
}{
	{name: "first", offers: []string{mirroredHub, firstMirror, secondMirror}, sources: []string{firstMirror + "@" + oneDigest}},
	{name: "second", offers: []string{mirroredHub, secondMirror}, sources: []string{secondMirror + "@" + oneDigest}, failed: []string{"first.example because it does not have the image"}},
	{name: "none has it", offers: []string{mirroredHub}, sources: []string{mirroredHub + ":1"},
		failed: []string{"first.example because it does not have the image", "second.example because it does not have the image"}},
	{name: "down", offers: []string{mirroredHub, firstMirror, secondMirror}, down: "first.example", sources: []string{secondMirror + "@" + oneDigest},
		failed: []string{"first.example because it did not answer as a registry"}},
	{name: "locked", offers: []string{mirroredHub, firstMirror, secondMirror}, locked: true, sources: []string{mirroredHub + ":1"},
		failed: []string{"first.example because it wants other credentials", "second.example because it wants other credentials"}},
	{name: "by digest", ref: mirroredHub + "@" + oneDigest, offers: []string{mirroredHub, firstMirror}, sources: []string{firstMirror + "@" + oneDigest}},
	{name: "always, another one there", policy: v1.PullAlways, local: true, offers: []string{mirroredHub, firstMirror}, sources: []string{firstMirror + "@" + oneDigest}},
	{name: "present", local: true, offers: []string{mirroredHub, firstMirror}, digest: otherDigest},
}

func TestMirrors(t *testing.T) {
	listed := mirrors.Registries{{Name: "docker.io", Mirrors: []string{"https://first.example", "https://second.example/hub"}}}
	for _, test := range mirrorTests {
		t.Run(test.name, func(t *testing.T) {
			h, seen := newHost(), &fallbacks{}
			for _, repository := range test.offers {
				h.offer(repository, "1", oneDigest)
			}
			if test.local {
				h.local[mirroredHub+":1"] = at("app", otherDigest)
			}
			h.down = map[string]bool{test.down: true}
			if test.locked {
				h.confirm = func(engine.Credentials) error { return fmt.Errorf("unauthorized: %w", errdefs.ErrPermissionDenied) }
			}
			p := images.New(images.Config{Registries: listed, Observer: seen}, h)
			defer p.Close()
			want := images.Want{Ref: "app:1", Policy: v1.PullIfNotPresent}
			if test.ref != "" {
				want.Ref = test.ref
			}
			if test.policy != "" {
				want.Policy = test.policy
			}
			image, err := p.OnHost(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			digest := oneDigest
			if test.digest != "" {
				digest = test.digest
			}
			if name := image.Digests[0]; name != "app@"+digest && name != mirroredHub+"@"+digest {
				t.Errorf("the image is %q, want the name of its registry and %s", image.Digests, digest)
			}
			if len(image.Tags) > 0 {
				t.Errorf("a name by digest counts as a tag: %q", image.Tags)
			}
			if !slices.Equal(h.sources, test.sources) {
				t.Errorf("pulled %q, want %q", h.sources, test.sources)
			}
			var failed []string
			for _, mirror := range test.failed {
				failed = append(failed, "image docker.io/library/app:1 mirror "+mirror)
			}
			if !slices.Equal(seen.told, failed) {
				t.Errorf("told of %q, want %q", seen.told, failed)
			}
			again, err := p.OnHost(t.Context(), images.Want{Ref: want.Ref, Policy: v1.PullNever})
			if err != nil || again.ID != image.ID {
				t.Errorf("afterwards the host has %+v, %v", again, err)
			}
		})
	}
}

// TestMirrors_Credentials: a mirror is asked with docker-sd's own for the mirror, and neither
// with those of the registry nor with a pod's.
func TestMirrors_Credentials(t *testing.T) {
	const hub, first, second = "r.example/app", "first.example/app", "second.example/app"
	listed := mirrors.Registries{{Name: "r.example", Mirrors: []string{"first.example", "second.example"}}}
	dir := t.TempDir()
	own := `{"auths":{"r.example":{"username":"own","password":"secret"},"second.example":{"username":"mirror","password":"secret"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	pods := keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		v1.DockerConfigJsonKey: []byte(`{"auths":{"r.example":{"username":"pod","password":"x"},"first.example":{"username":"pod","password":"x"},"second.example":{"username":"pod","password":"x"}}}`)}}})
	h := newHost()
	for _, repository := range []string{hub, first, second} {
		h.offer(repository, "1", oneDigest)
	}
	var users []string
	h.confirm = func(auth engine.Credentials) error {
		users = append(users, auth.User+"@"+auth.Server)
		if auth.User != "pod" {
			return fmt.Errorf("denied: %w", errdefs.ErrPermissionDenied)
		}
		return nil
	}
	p := images.New(images.Config{Registries: listed, DockerConfig: dir}, h)
	defer p.Close()
	if _, err := p.OnHost(t.Context(), images.Want{Ref: hub + ":1", Policy: v1.PullIfNotPresent, Keys: pods}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(users)
	if got := slices.Compact(users); !slices.Equal(got, []string{"@", "mirror@second.example"}) {
		t.Errorf("the mirrors were asked as %q", got)
	}
	if got := h.pulls[len(h.pulls)-1]; got.User != "pod" || got.Server != "r.example" {
		t.Errorf("the registry was asked as %+v", got)
	}
}

// ResolveImage is the digest of an image of the registry by its id.
func (h *host) ResolveImage(_ context.Context, ref string, auth engine.Credentials) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, ref)
	name, _, _ := strings.Cut(ref, "/")
	if h.down[name] {
		return "", errors.New("no such host")
	}
	image, found := h.registry[ref]
	switch {
	case !found:
		return "", fmt.Errorf("manifest unknown: %w", errdefs.ErrNotFound)
	case h.confirm != nil && h.confirm(auth) != nil:
		return "", h.confirm(auth)
	}
	return image.ID, nil
}

func (h *host) TagImage(_ context.Context, id, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, image := range h.local {
		if image.ID == id {
			h.local[name] = image
			return nil
		}
	}
	return errdefs.ErrNotFound
}

// TestPull_OfAnUntrustedRegistry says what an administrator can do.
func TestPull_OfAnUntrustedRegistry(t *testing.T) {
	for _, test := range []struct {
		words string
		says  bool
	}{
		{"http: server gave HTTP response to HTTPS client", true},
		{"x509: certificate signed by unknown authority", true},
		{"connection refused", false},
	} {
		h := newHost()
		h.pullErr = errors.New(test.words)
		p := images.New(images.Config{}, h)
		_, err := p.OnHost(t.Context(), images.Want{Ref: "r.example:5000/app:1", Policy: v1.PullIfNotPresent})
		p.Close()
		if says := strings.Contains(fmt.Sprint(err), "/etc/docker/certs.d/r.example:5000/ca.crt"); err == nil || says != test.says {
			t.Errorf("%s: %v", test.words, err)
		}
	}
}

// TestMirrors_Silence: a mirror that failed is passed over for a while. As the registry of other
// images its host is asked nevertheless: one image that the mirror cannot give, which any pod may
// name, must not keep others from theirs.
func TestMirrors_Silence(t *testing.T) {
	const hub, cached, team = "docker.io/library/app", "shared.example/hub/library/app", "shared.example/team/app"
	h := newHost()
	h.offer(hub, "1", oneDigest)
	h.offer(cached, "1", oneDigest)
	h.offer(team, "1", oneDigest)
	h.local[team+":1"] = at(team, otherDigest)
	p := images.New(images.Config{Registries: mirrors.Registries{{Name: "docker.io", Mirrors: []string{"shared.example/hub"}}}}, h)
	defer p.Close()
	h.down = map[string]bool{"shared.example": true}
	if _, err := p.OnHost(t.Context(), images.Want{Ref: hub + ":1", Policy: v1.PullIfNotPresent}); err != nil {
		t.Fatal(err)
	}
	h.down = nil
	for _, want := range []string{hub, team} {
		if _, err := p.OnHost(t.Context(), images.Want{Ref: want + ":1", Policy: v1.PullAlways}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{hub + ":1", hub + ":1", team + ":1"}; !slices.Equal(h.sources, want) {
		t.Errorf("pulled %q, want %q", h.sources, want)
	}
}

// TestMirrors_Verification: an image that came with a pod's credentials is given to another pod
// if a mirror would give it to everybody, by the digest that the host has, and otherwise not.
func TestMirrors_Verification(t *testing.T) {
	const hub, mirror = "r.example/app", "mirror.example/app"
	keys := keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		v1.DockerConfigJsonKey: []byte(`{"auths":{"r.example":{"username":"pod","password":"x"}}}`)}}})
	for has, want := range map[string]bool{"": false, oneDigest: true, otherDigest: false} {
		h := newHost()
		h.offer(hub, "1", oneDigest)
		h.confirm = func(auth engine.Credentials) error {
			if auth.User != "pod" && !strings.HasPrefix(h.asked[len(h.asked)-1], mirror) {
				return fmt.Errorf("denied: %w", errdefs.ErrPermissionDenied)
			}
			if at := h.asked[len(h.asked)-1]; strings.HasPrefix(at, mirror) && at != mirror+"@"+has {
				return fmt.Errorf("manifest unknown: %w", errdefs.ErrNotFound)
			}
			return nil
		}
		p := images.New(images.Config{Registries: mirrors.Registries{{Name: "r.example", Mirrors: []string{"mirror.example"}}},
			Verification: images.NeverVerifyPreloaded}, h)
		if _, err := p.OnHost(t.Context(), images.Want{Ref: hub + ":1", Policy: v1.PullIfNotPresent, Keys: keys}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.OnHost(t.Context(), images.Want{Ref: hub + ":1", Policy: v1.PullIfNotPresent}); (err == nil) != want {
			t.Errorf("with %.12q at the mirror another pod gets the image: %v", has, err)
		}
		p.Close()
	}
}
