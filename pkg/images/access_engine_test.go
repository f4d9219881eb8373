package images_test

import (
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// TestAccess_BrokenOff: an engine can break off its answer to a pull when the image has
// come. The image is not for all then, since no record says with whose credentials it came.
func TestAccess_BrokenOff(t *testing.T) {
	for name, broken := range map[string]bool{"complete": false, "broken off": true} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Start(t)
			e.Offer(enginetest.Image{Tags: []string{privateRef}})
			host, err := engine.Connect(e.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			p := images.New(images.Config{Access: filepath.Join(t.TempDir(), "access.json"), Verification: images.NeverVerifyPreloaded}, host)
			defer p.Close()
			want := images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent, Keys: keysFor("owner", "right")}
			if broken {
				e.Inject(enginetest.Fault{Call: "POST /images/create", Cut: enginetest.During})
			}
			if _, err := p.OnHost(t.Context(), want); (err != nil) != broken {
				t.Fatalf("the pull ended with %v", err)
			}
			if len(e.Images()) != 1 {
				t.Fatalf("the host has %v, want the image", e.Images())
			}
			if _, err := p.OnHost(t.Context(), want); err != nil {
				t.Errorf("the pod whose credentials it came with gets %v", err)
			}
			e.Refuse(privateRef, "no basic auth credentials")
			if _, err := p.OnHost(t.Context(), images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent}); reasonOf(t, err) != images.ReasonPull {
				t.Errorf("a pod without credentials gets %v, want %s", err, images.ReasonPull)
			}
		})
	}
}

// TestAccess_Library: images have another id in a library than on the host, and every
// sandbox lists all of them. A pod that knows the id of another pod's image does not get it
// by the name or the id that it has there.
func TestAccess_Library(t *testing.T) {
	const hostID, insideID = "sha256:" + "aa", "sha256:" + "bb"
	id := func(short string) string { return short + strings.Repeat("0", 62) }
	stored := sandbox.StoredName(id(hostID))
	for name, c := range map[string]struct {
		policy images.Verification
		ref    string
		keys   keyring.Keyring
		reason string
	}{
		"by its name":               {images.NeverVerifyPreloaded, stored, nil, images.ReasonPull},
		"by its id":                 {images.NeverVerifyPreloaded, id(insideID), nil, images.ReasonPull},
		"nothing is verified":       {images.NeverVerify, stored, nil, ""},
		"its owner, after the host": {images.NeverVerifyPreloaded, privateRef, keysFor("owner", "right"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost()
			h.registry[privateRef] = engine.Image{ID: id(hostID), Tags: []string{privateRef}}
			h.confirm = private
			library := &shelf{has: map[string]string{id(hostID): id(insideID)}}
			p := images.New(images.Config{Access: filepath.Join(t.TempDir(), "access.json"), Verification: c.policy, Shared: true,
				Library: library, LibraryChanged: func() {}}, h)
			defer p.Close()
			if _, err := p.OnHost(t.Context(), images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent, Keys: keysFor("owner", "right")}); err != nil {
				t.Fatal(err)
			}
			e := enginetest.Start(t)
			e.AddImage(enginetest.Image{ID: id(insideID), Tags: []string{stored, privateRef}})
			inside, err := engine.Connect(e.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer inside.Close()
			h.forget(privateRef)
			h.pullErr = private(engine.Credentials{})
			image, err := p.Ensure(t.Context(), &sandbox.Sandbox{Name: "s", Engine: inside}, images.Want{Ref: c.ref, Policy: v1.PullIfNotPresent, Keys: c.keys})
			if got := reasonOf(t, err); got != c.reason || c.reason == "" && image.ID != id(insideID) {
				t.Errorf("got %q with %v, want %q", image.ID, err, c.reason)
			}
		})
	}
}
