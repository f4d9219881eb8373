package mounts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// TestRead: what is in a file of the volume, and nothing that is elsewhere or never ends.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	vol := filepath.Join(dir, "vol")
	if err := os.MkdirAll(filepath.Join(vol, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"vol/sub/f": "inside", "vol/empty": "", "vol/long": strings.Repeat("x", 11), "secret": "outside"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"up": "../secret", "host": filepath.Join(dir, "secret"), "link": "sub/f", "loop": "loop", "nowhere": "none", "proc": "/proc/self/environ"} {
		if err := os.Symlink(target, filepath.Join(vol, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(vol, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	volume, err := openSource(initapi.Source{Roots: rootsOf(dir), Path: "vol", NoCreate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer volume.close()
	before := descriptors(t)
	for _, c := range []struct {
		path, want string
		kind       initapi.Kind
	}{
		{path: "sub/f", want: "inside"}, {path: "link", want: "inside"}, {path: "empty"},
		{path: "long", kind: initapi.KindInvalid}, {path: "sub", kind: initapi.KindInvalid}, {path: "pipe", kind: initapi.KindInvalid},
		{path: "up", kind: initapi.KindOutside}, {path: "../secret", kind: initapi.KindOutside}, {path: "host", kind: initapi.KindOutside},
		{path: "proc", kind: initapi.KindOutside}, {path: "loop", kind: initapi.KindInvalid},
		{path: "nowhere", kind: initapi.KindMissing}, {path: "none", kind: initapi.KindMissing}, {path: "new/f", kind: initapi.KindMissing}, {path: "empty/f", kind: initapi.KindMissing},
	} {
		got, err := readBelow(volume, initapi.Source{SubPath: c.path}, 10)
		var known *initapi.Error
		if errors.As(err, &known) {
			if known.Kind != c.kind {
				t.Errorf("%s: %v of kind %s, want kind %q", c.path, err, known.Kind, c.kind)
			}
		} else if err != nil || string(got) != c.want || c.kind != "" {
			t.Errorf("%s: %q, %v", c.path, got, err)
		}
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are left open", now-before)
	}
	if _, err := os.Stat(filepath.Join(vol, "new")); err == nil {
		t.Error("a folder was made")
	}
}
