package fusemount

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Abort ends all FUSE file systems of a sandbox, in whichever container they were mounted:
// what waits for one gets an error. Without it a program that uses its own file system
// could not be killed.
func Abort(grant Grant) error {
	runtime.LockOSThread() // until the process ends
	w := &worker{Grant: grant}
	var err error
	if w.procfs, err = unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if w.sandbox, err = readTable(w.procfs, "thread-self/mountinfo"); err != nil {
		return err
	}
	// In the sandbox itself, to which shared mounts come, the emptyDirs are folders of one
	// mount and not mounts of their own.
	problems := []error{w.abortIn(w.sandbox, func(m *mountinfo.Info) bool {
		rest, inside := below(w.Folder, m.Mountpoint)
		return inside && rest != "" && isFuse(m) && w.Mark.in(m.VFSOptions)
	})}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	seen := map[uint64]bool{}
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err == nil {
			problems = append(problems, w.abortOf(entry.Name(), seen))
		}
	}
	return errors.Join(problems...)
}

// abortOf does it in the namespace of a process, unless that was seen.
func (w *worker) abortOf(process string, seen map[uint64]bool) error {
	namespace, err := unix.Openat(w.procfs, process+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // it ended just now, and its namespace with it unless another one is in it
	}
	defer unix.Close(namespace)
	var stat unix.Stat_t
	if err := unix.Fstat(namespace, &stat); err != nil || seen[stat.Ino] {
		return err
	}
	seen[stat.Ino] = true
	theirs, err := enter(w.procfs, namespace)
	if err != nil {
		return fmt.Errorf("process %s: %w", process, err)
	}
	return w.abortIn(theirs, func(m *mountinfo.Info) bool { return w.ours(m, theirs) })
}

// abortIn does it in the namespace that the thread is in. A mount point is opened by its
// name and unmounted by its descriptor: a name that was changed leads to a mount with
// another id, and a mount of the host must not be ended.
func (w *worker) abortIn(in table, ours func(*mountinfo.Info) bool) error {
	var problems []error
	for _, m := range in {
		if !ours(m) {
			continue
		}
		fd, err := unix.Open(m.Mountpoint, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			problems = append(problems, fmt.Errorf("open %s: %w", m.Mountpoint, err))
			continue
		}
		if id, err := mountID(w.procfs, fd); err == nil && id == m.ID {
			if err = unix.Fchdir(w.procfs); err == nil {
				err = unix.Unmount(fmt.Sprintf("thread-self/fd/%d", fd), unix.MNT_FORCE|unix.MNT_DETACH)
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("end %s: %w", m.Mountpoint, err))
			}
		}
		unix.Close(fd)
	}
	return errors.Join(problems...)
}
