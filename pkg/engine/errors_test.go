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

// TestRuntimeFails has words of the kind that Docker 20.10 and 29 pass on; the end-to-end tests of
// runtime classes have the real ones.
func TestRuntimeFails(t *testing.T) {
	for text, want := range map[string]bool{
		"failed to create shim: OCI runtime create failed: unable to retrieve OCI runtime error (open /run/containerd/log.json: no such file or directory): fork/exec /nowhere: no such file or directory: : unknown": true,
		`failed to create task for container: failed to start shim: failed to resolve runtime path: runtime "io.containerd.foo.v1" binary not installed "containerd-shim-foo-v1": file does not exist: unknown`:       true,
		`failed to create shim: OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "unable to start": executable file not found in $PATH: unknown`:                           false,
		`failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/x": stat /x: no such file or directory: unknown`:  false,
	} {
		if got := RuntimeFails(errors.New(text)); got != want {
			t.Errorf("%t for %s", got, text)
		}
	}
	if RuntimeFails(nil) {
		t.Error("no error is one")
	}
}
