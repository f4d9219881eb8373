package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const (
	// blockBytes is the unit of allocated blocks in stat(2).
	blockBytes = 512
	// maxDepth bounds the open folders of one walk.
	maxDepth = 256
)

// OverLimit lists the emptyDirs on disk that hold more than their sizeLimit. As
// for the kubelet's eviction, what counts is allocated blocks, each inode once,
// on the volume's own file system. Volumes that cannot be measured are in the
// error, the others still in the list. It reads every folder of the volumes;
// ctx ends it early.
func (s *Set) OverLimit(ctx context.Context) ([]Usage, error) {
	var over []Usage
	var errs []error
	for _, name := range s.names {
		v := s.volumes[name]
		if v.kind != kindEmptyDir || v.memory || v.limit <= 0 {
			continue
		}
		used, err := s.usage(ctx, v)
		if err != nil {
			errs = append(errs, fmt.Errorf("measure emptyDir %q: %w", v.name, err))
			continue
		}
		if used > v.limit {
			over = append(over, Usage{Volume: v.name, UsedBytes: used, LimitBytes: v.limit})
		}
	}
	return over, errors.Join(errs...)
}

func (s *Set) usage(ctx context.Context, v *volume) (int64, error) {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	dir, err := root.OpenRoot(v.folder)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	info, err := dir.Stat(".")
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("the file system tells no block counts")
	}
	m := meter{device: uint64(stat.Dev), seen: map[uint64]bool{}, used: stat.Blocks * blockBytes}
	err = m.walk(ctx, dir, 0)
	return m.used, err
}

// meter sums up blocks. Files come and go meanwhile: what is gone when it is
// looked at counts nothing.
type meter struct {
	device uint64
	seen   map[uint64]bool // inodes with several links
	used   int64
}

func (m *meter) walk(ctx context.Context, dir *os.Root, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("folders are nested deeper than %d", maxDepth)
	}
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.add(ctx, dir, name, depth); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (m *meter) add(ctx context.Context, dir *os.Root, name string, depth int) error {
	info, err := dir.Lstat(name)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || uint64(stat.Dev) != m.device {
		return nil
	}
	if !info.IsDir() && stat.Nlink > 1 {
		if m.seen[stat.Ino] {
			return nil
		}
		m.seen[stat.Ino] = true
	}
	m.used += stat.Blocks * blockBytes
	if !info.IsDir() {
		return nil
	}
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	return m.walk(ctx, sub, depth+1)
}
