package machine

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// HasNFS says whether the kernel has an NFS client, or may have one: a sandbox's init is told
// for certain. To ask for the kind of file system has the kernel load its module.
func HasNFS() bool {
	fd, err := unix.Fsopen("nfs", unix.FSOPEN_CLOEXEC)
	if err == nil {
		return unix.Close(fd) == nil
	}
	if errors.Is(err, unix.ENODEV) {
		return false
	}
	// A kernel that is older than the question, or does not let this program ask. What is
	// not loaded yet may still be.
	if _, err := os.Stat("/lib/modules"); err == nil {
		return true
	}
	kinds, err := os.ReadFile("/proc/filesystems")
	return err != nil || strings.Contains(string(kinds), "\tnfs\n")
}
