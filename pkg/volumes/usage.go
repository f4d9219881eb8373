package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tree"
)

// Usage is an emptyDir on disk that holds more than its sizeLimit, or an ephemeral volume
// that holds more than its claim asks for.
type Usage struct {
	Volume string
	// Ephemeral says that it is no emptyDir.
	Ephemeral  bool
	UsedBytes  int64
	LimitBytes int64
}

// OverLimit lists the emptyDirs on disk, and the ephemeral volumes, that hold more than
// their limit. As for the kubelet's eviction, what counts is allocated blocks, each inode
// once, on the volume's own file system. Volumes that cannot be measured are in the
// error; all that were seen to hold too much are in the list. It reads every folder of
// the volumes; ctx ends it early.
func (s *Set) OverLimit(ctx context.Context) ([]Usage, error) {
	var over []Usage
	var errs []error
	for _, name := range s.names {
		v := s.volumes[name]
		if !v.isScratch() || v.memory || v.pages > 0 || v.limit <= 0 {
			continue
		}
		used, err := s.usage(ctx, v)
		if err != nil {
			errs = append(errs, fmt.Errorf("measure %s %q: %w", v.kind, v.name, err))
		}
		if used > v.limit {
			over = append(over, Usage{Volume: v.name, Ephemeral: v.kind == kindEphemeral, UsedBytes: used, LimitBytes: v.limit})
		}
	}
	return over, errors.Join(errs...)
}

// EphemeralBytes is what ephemeral volumes take on disk: as with kubelet, they do not count
// for the limits of ephemeral storage. With an error it is that of those that could be
// measured.
func (s *Set) EphemeralBytes(ctx context.Context) (int64, error) {
	var sum int64
	var errs []error
	for _, name := range s.names {
		v := s.volumes[name]
		if v.kind != kindEphemeral {
			continue
		}
		used, err := s.usage(ctx, v)
		if err != nil {
			errs = append(errs, fmt.Errorf("measure ephemeral volume %q: %w", v.name, err))
		}
		sum += used
	}
	return sum, errors.Join(errs...)
}

// usage is what a volume takes on disk, in bytes.
func (s *Set) usage(ctx context.Context, v *volume) (int64, error) {
	bytes, _, err := Measure(ctx, s.root, v.folder)
	return bytes, err
}

// Measure sums up the allocated blocks and the inodes of a folder below root and of
// all that is in it, on its own file system, without following links out of root.
// With an error they are what was seen before it.
func Measure(ctx context.Context, root, below string) (bytes, inodes int64, err error) {
	top, err := os.OpenRoot(root)
	if err != nil {
		return 0, 0, err
	}
	defer top.Close()
	dir, err := top.Open(below)
	if err != nil {
		return 0, 0, err
	}
	defer dir.Close()
	used, err := tree.Measure(ctx, dir)
	return used.Bytes, used.Inodes, err
}
