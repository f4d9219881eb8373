package images_test

import (
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
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
