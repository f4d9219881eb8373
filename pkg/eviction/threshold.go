// Package eviction keeps pods from filling the host's disks: below a threshold the
// pod that uses most above its request is ended, as kubelet does.
package eviction

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Space of a file system.
type Space struct {
	// Device tells file systems apart.
	Device             uint64
	Bytes, Free        int64
	Inodes, FreeInodes int64
}

// SpaceOf asks the file system of a path.
func SpaceOf(path string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Space{}, fmt.Errorf("measure the disk of %s: %w", path, err)
	}
	var at unix.Stat_t
	if err := unix.Stat(path, &at); err != nil {
		return Space{}, fmt.Errorf("measure the disk of %s: %w", path, err)
	}
	return Space{Device: at.Dev, Bytes: int64(s.Blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize,
		Inodes: int64(s.Files), FreeInodes: int64(s.Ffree)}, nil
}

// Threshold of one disk.
type Threshold struct {
	// Signal is kubelet's name, for people.
	Signal string
	// Images says that it is about the disk of the engine's data, and not that of the
	// pods' folders; Inodes that files are counted, and not bytes.
	Images, Inodes bool
	// Percent is a part of the disk; where it is 0, Amount is what has to be free.
	Percent float64
	Amount  int64
}

// crossing is a threshold that a disk is below.
type crossing struct {
	threshold       Threshold
	space           Space
	want, available int64
}

// crosses tells whether a disk is below a threshold. A file system without a number
// of inodes has enough.
func (t Threshold) crosses(s Space) (crossing, bool) {
	whole, free := s.Bytes, s.Free
	if t.Inodes {
		whole, free = s.Inodes, s.FreeInodes
	}
	want := t.Amount
	if t.Percent > 0 {
		want = int64(float64(whole) * t.Percent / 100)
	}
	return crossing{threshold: t, space: s, want: want, available: free}, whole > 0 && free < want
}

// resource is kubelet's name of what is scarce.
func (c crossing) resource() string {
	if c.threshold.Inodes {
		return "inodes"
	}
	return "ephemeral-storage"
}

func (c crossing) amount(n int64) string {
	if c.threshold.Inodes {
		return strconv.FormatInt(n, 10)
	}
	return amount(n)
}

func amount(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }

// String is for operators.
func (c crossing) String() string {
	return fmt.Sprintf("%s is %s, below %s", c.threshold.Signal, c.amount(c.available), c.amount(c.want))
}
