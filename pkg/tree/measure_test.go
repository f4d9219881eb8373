package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func usage(t *testing.T, path string, limits bounds) Usage {
	t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	got, err := measure(t.Context(), dir, limits)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// counted is the same by the library's own walk.
func counted(t *testing.T, root string) Usage {
	t.Helper()
	var out Usage
	seen := map[uint64]bool{}
	if err := filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		var stat unix.Stat_t
		if err := errors.Join(err, unix.Lstat(p, &stat)); err != nil {
			return err
		}
		if !seen[stat.Ino] {
			out.Bytes += stat.Blocks * 512
			out.Inodes++
		}
		seen[stat.Ino] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMeasure(t *testing.T) {
	root := t.TempDir()
	for i := range 2000 {
		parts := []string{root, fmt.Sprint(i % 5), fmt.Sprint(i % 11), "x", fmt.Sprint(i % 3), "y", "z", fmt.Sprint(i)}
		write(t, filepath.Join(parts[:3+i%6]...)+"/f"+fmt.Sprint(i), i)
	}
	write(t, filepath.Join(root, "linked"), 9000)
	for i := range 10 {
		for _, of := range []string{"linked", "0/0/f0"} {
			if err := os.Link(filepath.Join(root, of), filepath.Join(root, fmt.Sprint(i%5), fmt.Sprint("link", of[:1], i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(os.Symlink("/", filepath.Join(root, "link")), os.Truncate(filepath.Join(root, "linked"), 1<<30)); err != nil {
		t.Fatal(err)
	}
	want := counted(t, root)
	for name, limits := range map[string]bounds{
		"usual": usual, "few open": {open: 1, noted: 100, linked: 100}, "few noted": {open: 1, noted: 2, linked: 100},
		"one noted": {open: 1, noted: 1, linked: 1}, "links by share": {open: 4, noted: 100, linked: 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := usage(t, root, limits); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestMeasureDeep(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	const levels = 3000
	deep(t, root, levels, 100)
	defer func() {
		if err := Remove(t.Context(), root); err != nil {
			t.Error(err)
		}
	}()
	for name, limits := range map[string]bounds{"usual": usual, "few noted": {open: 2, noted: 100}} {
		t.Run(name, func(t *testing.T) {
			var got Usage
			if most := peak(t, func() { got = usage(t, root, limits) }); most > 25 {
				t.Errorf("it had %d descriptors open", most)
			}
			if want := int64(1 + levels + levels/100); got.Inodes != want {
				t.Errorf("%d inodes, want %d", got.Inodes, want)
			}
		})
	}
}

// A walk that is led out of its root by a folder that moves ends, and says so.
func TestMeasureOfWhatMoves(t *testing.T) {
	base := t.TempDir()
	root, elsewhere := filepath.Join(base, "root"), filepath.Join(base, "elsewhere/a/b/c/d/e/f")
	write(t, filepath.Join(root, "1/2/3/4/5/6/file"), 5000)
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, limits := range []bounds{{open: 1, noted: 100}, {open: 1, noted: 1}} {
		dir, err := os.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		ctx := &moving{Context: t.Context(), steps: 9, move: func() error {
			return os.Rename(filepath.Join(root, "1/2/3"), filepath.Join(elsewhere, "3"))
		}}
		got, err := measure(ctx, dir, limits)
		dir.Close()
		if !errors.Is(err, ErrMoved) || got.Inodes < 3 {
			t.Errorf("got %+v and %v after a move", got, err)
		}
		if err := os.Rename(filepath.Join(elsewhere, "3"), filepath.Join(root, "1/2/3")); err != nil {
			t.Fatal(err)
		}
	}
}

// moving is a context that is asked at each step of a walk.
type moving struct {
	context.Context
	mu    sync.Mutex
	steps int
	move  func() error
}

func (m *moving) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.steps--; m.steps == 0 {
		if err := m.move(); err != nil {
			return err
		}
	}
	return m.Context.Err()
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
