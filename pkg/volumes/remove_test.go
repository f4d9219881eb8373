package volumes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func TestRemove(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "pod")
	outside := filepath.Join(base, "outside")
	for _, dir := range []string{filepath.Join(root, "emptyDirs/e/a"), outside} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "keep"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"emptyDirs/e/abs", "emptyDirs/e/a/abs"} {
		if err := os.Symlink(outside, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second call finds it gone
		if err := Remove(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(root); !os.IsNotExist(err) {
			t.Errorf("the folder is still there (%v)", err)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "keep")); err != nil {
		t.Error(err)
	}
	if err := Remove(t.Context(), filepath.Join(base, "none/pod")); err != nil {
		t.Errorf("no parent folder: %v", err)
	}
}

func TestRemoveRootIsLink(t *testing.T) {
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	if err := os.MkdirAll(filepath.Join(outside, "keep"), 0o755); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(base, "pod")
	if err := os.Symlink(outside, root); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "keep")); err != nil {
		t.Error(err)
	}
}

func TestRemoveRefusesOddFolders(t *testing.T) {
	for _, root := range []string{"", "/", "//", "/a/..", "relative"} {
		if err := Remove(t.Context(), root); err == nil {
			t.Errorf("folder %q: want an error", root)
		}
	}
}

// Folders without permissions stop an owner who is not root, so the test drops
// root's power over files on its own thread.
func TestRemoveLockedFolders(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "pod")
	for _, dir := range []string{"a/b/c", "d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	if os.Getuid() == 0 {
		for dir := base; dir != filepath.Dir(os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range []string{base, root, root + "/a", root + "/a/b", root + "/a/b/c", root + "/d"} {
			if err := os.Chown(dir, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, dir := range []string{"a/b/c", "a/b", "a", "d", ""} {
		if err := os.Chmod(filepath.Join(root, dir), 0); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() {
		// The thread ends with the goroutine, because it stays locked.
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			if err := unix.Setfsuid(nobody); err != nil {
				done <- err
				return
			}
		}
		if _, err := os.ReadDir(root); !errors.Is(err, os.ErrPermission) {
			done <- fmt.Errorf("reading the locked folder: got %w, want it refused", err)
			return
		}
		done <- Remove(t.Context(), root)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(root); !os.IsNotExist(err) {
		t.Errorf("the folder is still there (%v)", err)
	}
}

// mountTable is a remover's view of a table as the kernel writes it.
func mountTable(table func() string) func(string) ([]*mountinfo.Info, error) {
	return func(root string) ([]*mountinfo.Info, error) {
		return mountinfo.GetMountsFromReader(strings.NewReader(table()), mountinfo.PrefixFilter(root))
	}
}

// mountLine is a line of such a table.
func mountLine(at string) string {
	return "36 35 98:0 / " + strings.ReplaceAll(at, " ", `\040`) + " rw,noatime shared:1 - tmpfs tmpfs rw\n"
}

// podFolder makes a pod's folder with a file in one of its volumes.
func podFolder(t *testing.T, root string) (file string) {
	t.Helper()
	file = filepath.Join(root, "emptyDirs/m/f")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRemoveUnmountsFirst(t *testing.T) {
	root := filepath.Join(t.TempDir(), "pod")
	mounted := []string{root + "/emptyDirs/m", root + "/emptyDirs/m/a b"}
	table := mountLine("/") + mountLine(root+"2/x") + mountLine(mounted[0]) + mountLine(mounted[1])

	t.Run("unmounted in reverse order", func(t *testing.T) {
		file := podFolder(t, root)
		var got []string
		r := remover{
			mounts: mountTable(func() string {
				if len(got) == len(mounted) {
					return mountLine("/")
				}
				return table
			}),
			unmount: func(p string) error {
				if _, err := os.Stat(file); err != nil {
					t.Errorf("deleted before %s was unmounted: %v", p, err)
				}
				got = append(got, p)
				return nil
			},
		}
		if err := r.remove(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(mounted)
		slices.Reverse(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if _, err := os.Lstat(root); !os.IsNotExist(err) {
			t.Errorf("the folder is still there (%v)", err)
		}
	})
	for name, c := range map[string]struct {
		table   string
		failure error
	}{"refused": {table, unix.EPERM}, "still mounted": {table, nil}, "a table that cannot be read": {"short\n", nil}} {
		t.Run(name, func(t *testing.T) {
			file := podFolder(t, root)
			r := remover{mounts: mountTable(func() string { return c.table }), unmount: func(string) error { return c.failure }}
			if err := r.remove(t.Context(), root); err == nil || !strings.Contains(err.Error(), "mount") {
				t.Errorf("got %v, want an error about the mount", err)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("deleted behind a mount: %v", err)
			}
		})
	}
}
