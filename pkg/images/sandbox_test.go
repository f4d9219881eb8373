package images_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// TestHalfSharedImage: a sandbox that was booted while the host dropped an image has its
// configuration and no layers. That is an image which came later, if the host has it again.
func TestHalfSharedImage(t *testing.T) {
	id := "sha256:" + strings.Repeat("a", 64)
	h := newHost()
	h.local[ref] = engine.Image{ID: id, Tags: []string{ref}}
	p := images.New(images.Config{Shared: true}, h)
	defer p.Close()
	e := enginetest.Start(t)
	inside, err := engine.Connect(e.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	s := &sandbox.Sandbox{Name: "s", Engine: inside}
	for range 3 { // once for Find, twice for Ensure
		e.Fail("GET /images/"+id+"/json", http.StatusInternalServerError, "layer does not exist")
	}
	if _, presence, err := p.Find(t.Context(), s, h.local[ref]); err != nil || presence != images.Newer {
		t.Errorf("the image is %v in the sandbox, %v, want Newer", presence, err)
	}
	errCopied := errors.New("no space left on device")
	h.copyErr = errCopied
	if _, err := p.Ensure(t.Context(), s, images.Want{Ref: ref, Policy: v1.PullIfNotPresent}); reasonOf(t, err) != images.ReasonPull || !strings.Contains(err.Error(), errCopied.Error()) {
		t.Errorf("no copy was tried: %v", err)
	}
}
