package mounts

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// MountTmpfs mounts a volume in memory, unless it is mounted.
func MountTmpfs(t initapi.Tmpfs) error {
	if there, err := isMounted(t.Path, "tmpfs"); err != nil || there {
		return err
	}
	if err := unix.Mount("tmpfs", t.Path, "tmpfs", 0, memoryOptions(t)); err != nil {
		return fmt.Errorf("mount a volume in memory at %s: %w", t.Path, err)
	}
	return nil
}

// MountHugetlbfs mounts a volume of huge pages, unless it is mounted.
func MountHugetlbfs(h initapi.Hugetlbfs) error {
	if there, err := isMounted(h.Path, hugetlbfs); err != nil || there {
		return err
	}
	options := memoryOptions(h.Tmpfs) + fmt.Sprintf(",pagesize=%d", h.PageBytes)
	if err := unix.Mount(hugetlbfs, h.Path, hugetlbfs, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount a volume of huge pages at %s: %w", h.Path, err)
	}
	// The option takes no setgid bit.
	if err := unix.Chmod(h.Path, h.Mode); err != nil {
		return fmt.Errorf("give a volume of huge pages its mode: %w", err)
	}
	return nil
}

// hugetlbfs is the file system of huge pages.
const hugetlbfs = "hugetlbfs"

// memoryOptions are those of a file system in memory.
func memoryOptions(t initapi.Tmpfs) string {
	options := fmt.Sprintf("mode=%o", t.Mode)
	if t.SizeBytes > 0 {
		options += fmt.Sprintf(",size=%d", t.SizeBytes)
	}
	if t.GID != nil {
		options += fmt.Sprintf(",gid=%d", *t.GID)
	}
	return options
}

// ResizeShm gives the sandbox's /dev/shm a size in bytes.
func ResizeShm(bytes int64) error {
	if err := unix.Mount("shm", "/dev/shm", "tmpfs", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, fmt.Sprintf("size=%d", bytes)); err != nil {
		return fmt.Errorf("give /dev/shm a size of %d bytes: %w", bytes, err)
	}
	return nil
}
