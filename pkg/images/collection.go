package images

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Collection says which of the images that only docker-sd pulled are removed.
// The fields mean what kubelet's settings of the same names mean.
type Collection struct {
	// DryRun only logs what would be removed.
	DryRun bool
	// MaximumAge is how long an image stays unused; 0 means for ever.
	MaximumAge time.Duration
	// MinimumAge is how long an image stays unused when the disk is full.
	MinimumAge time.Duration
	// HighThresholdPercent of disk use starts the removal, oldest use first, until
	// LowThresholdPercent is reached; 100 means never.
	HighThresholdPercent, LowThresholdPercent int
	// Disk measures the disk of the engine's images; nil goes by age alone.
	Disk func() (Disk, error)
	// InUse are references that pods and the pool need.
	InUse func() []string
}

// Disk is the size of a file system and what is free for users, in bytes.
type Disk struct{ Total, Free int64 }

// DiskOf measures the disk of an engine's data root, where that can be seen from
// here and is really an engine's.
func DiskOf(root string) (func() (Disk, error), error) {
	if _, err := os.Stat(filepath.Join(root, "image")); err != nil {
		return nil, fmt.Errorf("the engine's data root cannot be seen from here: %w", err)
	}
	return func() (Disk, error) {
		var s unix.Statfs_t
		if err := unix.Statfs(root, &s); err != nil {
			return Disk{}, fmt.Errorf("measure the disk of %s: %w", root, err)
		}
		return Disk{Total: int64(s.Blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize}, nil
	}, nil
}

// collectPeriod is kubelet's.
const collectPeriod = 5 * time.Minute

// period between two rounds.
func (c Collection) period() time.Duration {
	if c.MaximumAge > 0 {
		return max(min(collectPeriod, c.MaximumAge/2), time.Second)
	}
	return collectPeriod
}

// idle is an image that is not in use.
type idle struct {
	ref, id string
	size    int64
	used    time.Time
}

// choose picks the images to remove: those that are too old, then the longest unused until
// excess bytes are free.
func (c Collection) choose(images []idle, now time.Time, excess int64) []idle {
	slices.SortFunc(images, func(a, b idle) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.ref, b.ref)) })
	var out []idle
	for _, image := range images {
		age := now.Sub(image.used)
		old := c.MaximumAge > 0 && age >= c.MaximumAge
		if old || excess > 0 && age >= c.MinimumAge {
			out = append(out, image)
			excess -= image.size
		}
	}
	return out
}

// excess is how many bytes have to go to come down to the low threshold, 0 below
// the high one.
func (c Collection) excess() (int64, error) {
	if c.Disk == nil || c.HighThresholdPercent >= 100 {
		return 0, nil
	}
	disk, err := c.Disk()
	if err != nil || disk.Total <= 0 {
		return 0, err
	}
	if used := disk.Total - disk.Free; used*100 < int64(c.HighThresholdPercent)*disk.Total {
		return 0, nil
	}
	return max(disk.Total/100*int64(100-c.LowThresholdPercent)-disk.Free, 0), nil
}
