package images_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
)

// TestKeepOnHost: images are there before a pod asks, one that cannot be had does not hold
// up the others and is asked for again, and a newer one is pulled in time.
func TestKeepOnHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.registry[ref] = engine.Image{ID: "old"}
		p := images.New(images.Config{}, h)
		defer p.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); p.KeepOnHost(ctx, []string{"late:1", "app:1"}) }()
		onHost := func(ref string) string {
			synctest.Wait()
			image, err := h.Image(ctx, ref)
			if err != nil {
				return "none"
			}
			return image.ID
		}
		const late = "docker.io/library/late:1"
		if got := onHost(ref) + " " + onHost(late); got != "old none" {
			t.Errorf("at the start the host has %q, want the image that its registry has", got)
		}
		h.mu.Lock()
		h.registry[ref], h.registry[late] = engine.Image{ID: "new"}, engine.Image{ID: "late"}
		h.mu.Unlock()
		time.Sleep(time.Hour)
		if got := onHost(ref) + " " + onHost(late); got != "old late" {
			t.Errorf("after an hour the host has %q, want the image that could not be had before", got)
		}
		time.Sleep(6 * time.Hour)
		if got := onHost(ref); got != "new" {
			t.Errorf("after seven hours the host has %q, want the newer image", got)
		}
		cancel()
		<-ended
	})
}
