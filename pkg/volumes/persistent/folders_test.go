package persistent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPath(t *testing.T) {
	for _, c := range []struct{ namespace, claim, want string }{
		{"default", "data", "default/data"},
		{"a-1", "x.y", "a-1/x.y"},
		{"default", "..", ""}, {"default", "a/b", ""}, {"default", "", ""}, {"default", "a/../b", ""}, {"default", ".", ""},
		{"default", "A", ""}, {"default", "a\x00b", ""}, {"default", strings.Repeat("a", 254), ""},
		{"..", "data", ""}, {"", "data", ""}, {".removed", "data", ""}, {"a/b", "data", ""}, {"a.b", "data", ""},
	} {
		if got, err := Path(c.namespace, c.claim); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("Path(%q, %q) = %q, %v; want %q", c.namespace, c.claim, got, err, c.want)
		}
	}
}

func stat(t *testing.T, path string) (fs.FileMode, uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode(), info.Sys().(*syscall.Stat_t).Gid
}

func TestMake(t *testing.T) {
	root := t.TempDir()
	defer syscall.Umask(syscall.Umask(0o077))
	if err := Make(root, "ns/data", nil); err != nil {
		t.Fatal(err)
	}
	if mode, _ := stat(t, filepath.Join(root, "ns/data")); mode != fs.ModeDir|0o777 {
		t.Errorf("mode = %v", mode)
	}
	if mode, _ := stat(t, filepath.Join(root, "ns")); mode != fs.ModeDir|0o700 {
		t.Errorf("mode of the namespace = %v", mode)
	}
	if err := os.WriteFile(filepath.Join(root, "ns/data/f"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "ns/data"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := Make(root, "ns/data", nil); err != nil {
		t.Fatal(err)
	}
	if mode, _ := stat(t, filepath.Join(root, "ns/data")); mode != fs.ModeDir|0o750 {
		t.Errorf("the mode that a user gave it became %v", mode)
	}
	if text, err := os.ReadFile(filepath.Join(root, "ns/data/f")); string(text) != "kept" {
		t.Errorf("its file = %q, %v", text, err)
	}
	own := int64(os.Getgid())
	if err := Make(root, "ns/data", &own); err != nil {
		t.Fatal(err)
	}
	if mode, gid := stat(t, filepath.Join(root, "ns/data")); mode != fs.ModeDir|fs.ModeSetgid|0o770 || int64(gid) != own {
		t.Errorf("with a group: mode %v, group %d", mode, gid)
	}
}

// TestMakeFollowsNoLink: neither out of the root, nor to another claim.
func TestMakeFollowsNoLink(t *testing.T) {
	outside := t.TempDir()
	for name, lay := range map[string]func(root string) error{
		"claim to the outside":     func(root string) error { return link(root, outside, "ns/data") },
		"claim to another claim":   func(root string) error { return link(root, "../other/data", "ns/data") },
		"claim to nothing":         func(root string) error { return link(root, outside+"/new", "ns/data") },
		"namespace to the outside": func(root string) error { return link(root, outside, "ns") },
		"namespace to another":     func(root string) error { return link(root, "other", "ns") },
		"file":                     func(root string) error { return os.WriteFile(filepath.Join(root, "ns"), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "other/data"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := lay(root); err != nil {
				t.Fatal(err)
			}
			gid := int64(os.Getgid())
			if err := Make(root, "ns/data", &gid); err == nil {
				t.Error("it was taken")
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside are now %v, %v", entries, err)
			}
			if mode, _ := stat(t, filepath.Join(root, "other/data")); mode != fs.ModeDir|0o700 {
				t.Errorf("the other claim's mode became %v", mode)
			}
		})
	}
}

func link(root, target, name string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
		return err
	}
	return os.Symlink(target, filepath.Join(root, name))
}

func there(root, folder string) bool {
	_, err := os.Lstat(filepath.Join(root, folder))
	return err == nil
}

// TestRelease: the folder goes with the last pod, and no other one.
func TestRelease(t *testing.T) {
	root, both := t.TempDir(), []string{"ns/a", "ns/b"}
	for _, folder := range append(both, "ns/other") {
		if err := Make(root, folder, nil); err != nil {
			t.Fatal(err)
		}
	}
	k := &Keeper{Root: root}
	k.Use("one", both)
	k.Use("two", both[:1])
	k.Use("refused", both)
	k.Forget("refused", both)
	if !there(root, "ns/a") || !there(root, "ns/b") {
		t.Error("a pod that was refused took the folders with it")
	}
	for range 2 { // again is success
		if err := k.Release(t.Context(), "one", both); err != nil {
			t.Fatal(err)
		}
	}
	if !there(root, "ns/a") || there(root, "ns/b") {
		t.Error("want the folder kept that another pod uses, and the other one gone")
	}
	if err := k.Release(t.Context(), "two", both[:1]); err != nil {
		t.Fatal(err)
	}
	if there(root, "ns/a") || !there(root, "ns/other") {
		t.Error("want the folder gone with its last pod, and none that is not the pod's")
	}
	if entries, err := os.ReadDir(filepath.Join(root, removedFolder)); err != nil || len(entries) > 0 {
		t.Errorf("%v is left to be removed, %v", entries, err)
	}
	// Without a root nothing is ever removed.
	var none Keeper
	none.Use("one", both)
	if err := errors.Join(none.Release(t.Context(), "one", []string{"ns/other"}), none.Await(t.Context(), both)); err != nil || !there(root, "ns/other") {
		t.Error(err)
	}
}

// TestReleaseGoesOn where a crash has left a folder half removed.
func TestReleaseGoesOn(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{".removed/ns_a_one/deep", "ns/a"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	k := &Keeper{Root: root}
	k.Use("one", []string{"ns/a"})
	if err := k.Release(t.Context(), "one", []string{"ns/a"}); err != nil {
		t.Fatal(err)
	}
	if there(root, "ns/a") || there(root, ".removed/ns_a_one") {
		t.Error("something is left")
	}
}

// TestAwait: who makes a folder waits for its removal, and no longer.
func TestAwait(t *testing.T) {
	k := &Keeper{Root: t.TempDir()}
	k.Use("one", []string{"ns/a"})
	done := k.leave("one", "ns/a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := k.Await(ctx, []string{"ns/a"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Await() while it leaves = %v", err)
	}
	if err := k.Await(t.Context(), []string{"ns/b"}); err != nil {
		t.Error(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- k.Await(t.Context(), []string{"ns/a"}) }()
	done()
	if err := <-waited; err != nil {
		t.Error(err)
	}
}
