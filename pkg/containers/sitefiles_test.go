package containers

import (
	"slices"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
)

func TestCovered(t *testing.T) {
	const target = "/etc/ssl/certs/ca-certificates.crt"
	for mounted, want := range map[string]bool{
		target: true, "/etc/ssl/certs": true, "/etc/ssl/certs/": true, "/etc": true, "/": true,
		"/etc/ssl/certs/other.crt": false, "/etc/ssl/cert": false, target + "/below": false, "/var": false,
	} {
		if got := covered([]engine.Mount{{Target: "/proc"}, {Target: mounted}}, target); got != want {
			t.Errorf("with a volume at %s: %t", mounted, got)
		}
	}
	if covered(nil, target) {
		t.Error("covered by nothing")
	}
}

func TestJoined(t *testing.T) {
	for _, test := range []struct{ own, want string }{{"", "site\n"}, {"own\n", "own\nsite\n"}, {"own", "own\nsite\n"}} {
		own := append(make([]byte, 0, 64), test.own...)
		if got := joined(own, []byte("site\n")); string(got) != test.want {
			t.Errorf("%q: %q", test.own, got)
		}
		if after := own[:cap(own)][len(own)]; after != 0 {
			t.Errorf("%q: what is remembered of an image was written to", test.own)
		}
	}
}

func TestSetDefault(t *testing.T) {
	image := images.Image{Env: []string{"IMAGES=1"}}
	spec := engine.Spec{Env: []string{"PODS=1", "PODS_TOO"}}
	for _, name := range []string{"IMAGES", "PODS", "PODS_", "MISSING"} {
		setDefault(&spec, image, name, "2")
	}
	if want := []string{"PODS=1", "PODS_TOO", "PODS_=2", "MISSING=2"}; !slices.Equal(spec.Env, want) {
		t.Errorf("%q, want %q", spec.Env, want)
	}
}

// TestBundlesAreRemembered for as many images as there is room for.
func TestBundlesAreRemembered(t *testing.T) {
	var a Accounts
	a.putBundles("first", []bundle{{path: "/a"}})
	if found, known := a.bundlesOf("first"); !known || len(found) != 1 {
		t.Errorf("found %v, %t", found, known)
	}
	a.putBundles("huge", []bundle{{text: make([]byte, maxRememberedBytes)}, {text: []byte("1")}})
	if _, known := a.bundlesOf("huge"); known {
		t.Error("an image has as much memory as it likes")
	}
	for i := range maxBundles {
		a.putBundles(string(rune('a'+i)), nil)
	}
	if _, known := a.bundlesOf("first"); known || len(a.bundles) > maxBundles {
		t.Errorf("%d images are remembered, the first among them: %t", len(a.bundles), known)
	}
}
