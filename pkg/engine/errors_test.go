package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// An engine's message may hold a path as long as a pod likes.
func TestShorten(t *testing.T) {
	long := fmt.Errorf("remove /a%s: %w", strings.Repeat("/d", 25000), errdefs.ErrConflict)
	got := shorten(long)
	if text := got.Error(); len(text) > 1100 || !strings.HasPrefix(text, "remove /a/d/d") || !strings.HasSuffix(text, errdefs.ErrConflict.Error()) {
		t.Errorf("%d bytes: %.80s", len(text), text)
	}
	if !errdefs.IsConflict(got) {
		t.Error("its class is lost")
	}
	if short := errors.New("short"); shorten(short) != short || shorten(nil) != nil { //nolint:errorlint // the very same
		t.Error("a short one is changed")
	}
}
