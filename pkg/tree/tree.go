// Package tree removes and measures folders whose content a pod has made: of any
// depth and width, with names that lie and links that lead elsewhere. Everything
// is reached by descriptor, no symbolic link is followed, and no mount is entered.
package tree

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openFolder opens a folder by its name in another one, for reading. EXDEV says
// that something is mounted on it.
func openFolder(dir int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH}
	fd, err := again(func() (int, error) { return unix.Openat2(dir, name, &how) })
	if !errors.Is(err, unix.ENOSYS) {
		return fd, err
	}
	// A kernel before 5.6: mounts of the same file system are not told apart.
	if fd, err = again(func() (int, error) { return unix.Openat(dir, name, flags, 0) }); err != nil {
		return -1, err
	}
	var outer, inner unix.Stat_t
	err = errors.Join(unix.Fstat(dir, &outer), unix.Fstat(fd, &inner))
	if err == nil && outer.Dev != inner.Dev {
		err = unix.EXDEV
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// again repeats a call that a signal has interrupted.
func again[T any](call func() (T, error)) (T, error) {
	for {
		out, err := call()
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return out, err
		}
	}
}

// failed names what was tried and on which entry. The path to it is left out: it
// may be longer than anybody can read.
func failed(op, name string, err error) error {
	if errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("something is mounted there: %w", err)
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}
