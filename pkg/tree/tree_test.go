package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deep makes a chain of folders, with a file in one of so many.
func deep(t *testing.T, at string, levels, step int) {
	t.Helper()
	fd, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", 200)
	for i := range levels {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
		if i%step == 0 {
			file, err := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(file)
		}
	}
	unix.Close(fd)
}

func write(t *testing.T, path string, bytes int) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, make([]byte, bytes), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", path, err)
	}
}

// peak runs f and returns how many descriptors it had open at the most.
func peak(t *testing.T, f func()) int {
	t.Helper()
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before, most := count(), 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		select {
		case <-done:
			return most - before
		case <-time.After(time.Millisecond):
			most = max(most, count())
		}
	}
}

func TestRemoveDeep(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	write(t, filepath.Join(root, "other/file"), 1)
	const levels = 3000
	deep(t, root, levels, 100)
	if got := peak(t, func() {
		if err := Remove(t.Context(), root); err != nil {
			t.Error(err)
		}
	}); got > 30 {
		t.Errorf("it had %d descriptors open", got)
	}
	absent(t, root)
}

func TestRemoveWide(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	for i := range 5000 {
		path := filepath.Join(root, fmt.Sprint("dir", i%7), fmt.Sprint(i))
		if i%3 == 0 {
			path = filepath.Join(path, "below/it")
		}
		write(t, path, 0)
	}
	if err := Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	absent(t, root)
}

// What is not a folder, and names that an earlier call may have left.
func TestRemoveAnything(t *testing.T) {
	base := t.TempDir()
	root, outside := filepath.Join(base, "root"), filepath.Join(base, "outside/keep")
	write(t, outside, 1)
	write(t, filepath.Join(root, "a/b/c/\xff\n"), 1)
	write(t, filepath.Join(root, ".x.0/file"), 1)
	for _, err := range []error{
		os.Symlink(filepath.Dir(outside), filepath.Join(root, "link")),
		os.Symlink(filepath.Dir(outside), filepath.Join(root, "a/b/link")),
		os.Symlink("nowhere", filepath.Join(root, "a/b/c/link")),
		os.Link(outside, filepath.Join(root, "a/hard")),
		unix.Mkfifo(filepath.Join(root, "a/b/pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	link, file := filepath.Join(base, "link"), filepath.Join(base, "file")
	write(t, file, 1)
	if err := os.Symlink(filepath.Dir(outside), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{root, root, link, file, filepath.Join(base, "none/root")} {
		if err := Remove(t.Context(), path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		absent(t, path)
	}
	if got, err := os.ReadFile(outside); err != nil || len(got) != 1 {
		t.Errorf("what links led to: %q, %v", got, err)
	}
}

// A mount inside is neither removed nor looked into, and the rest goes.
func TestMountsAreNotEntered(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts need root")
	}
	base := t.TempDir()
	root, other := filepath.Join(base, "root"), filepath.Join(base, "other")
	at := filepath.Join(root, "a/b/at")
	write(t, filepath.Join(other, "keep"), 1<<20)
	write(t, filepath.Join(at, "hidden"), 0)
	write(t, filepath.Join(root, "a/file"), 0)
	if err := unix.Mount(other, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmountBelow(t, root) })
	if got := usage(t, root, usual); got.Bytes > 1<<19 {
		t.Errorf("%d bytes: what is mounted counts", got.Bytes)
	}
	if err := Remove(t.Context(), root); !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EXDEV) {
		t.Errorf("removed with a mount inside: %v", err)
	}
	absent(t, filepath.Join(root, "a/file"))
	if _, err := os.Stat(filepath.Join(other, "keep")); err != nil {
		t.Errorf("what was mounted: %v", err)
	}
	unmountBelow(t, root)
	if err := Remove(t.Context(), root); err != nil {
		t.Error(err)
	}
	absent(t, root)
}

// unmountBelow ends what is mounted below a folder, whose own folders may have moved.
func unmountBelow(t *testing.T, root string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, root+"/") {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRemoveSaysLittle(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a file that cannot be removed needs root")
	}
	root := filepath.Join(t.TempDir(), "root")
	path := root
	for range 15 {
		path = filepath.Join(path, strings.Repeat("n", 200))
	}
	write(t, filepath.Join(path, "kept"), 1)
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmountBelow(t, root) })
	if err := Remove(t.Context(), root); err == nil || len(err.Error()) > 700 || !strings.Contains(err.Error(), root) {
		t.Errorf("got %v", err)
	}
}

func TestRemoveEndsWithItsContext(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	write(t, filepath.Join(root, "a/b"), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Remove(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "a/b")); err != nil {
		t.Error(err)
	}
}

// Memory does not grow with the width.
func TestMemoryOfWidth(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 20000 {
		if err := os.Symlink("x", filepath.Join(root, strings.Repeat("w", 150)+fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	live := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before, most := live(), uint64(0)
	ctx := &moving{Context: t.Context(), steps: 10000, move: func() error {
		most = live()
		return nil
	}}
	if err := Remove(ctx, root); err != nil {
		t.Fatal(err)
	}
	if most == 0 || most > before+1<<20 {
		t.Errorf("%d bytes were held in the middle of it, %d before", most, before)
	}
}
