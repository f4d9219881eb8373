package fusemount

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strconv"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	device = "/dev/fuse"
	// receiveSeconds is how long a caller may take to say what it wants.
	receiveSeconds = 10
	// maxMounts bounds the FUSE file systems in one container.
	maxMounts = 64
)

// Grant is what the containers of a sandbox may do.
type Grant struct {
	// Folder of the sandbox that has the pod's emptyDirs in it.
	Folder string
	// Mark of the sandbox's FUSE file systems.
	Mark Mark
}

// worker carries out one request, in the caller's namespace of mounts. It is a process
// for that alone: a file system whose program hangs may keep it for ever.
type worker struct {
	Grant
	caller
	// procfs is the sandbox's /proc, which has other names in another namespace.
	procfs  int
	sandbox table
	// theirs is the table of the caller's namespace, from its root.
	theirs table
}

// Answer carries out the request that comes over a connection, and returns what went wrong
// where the caller could not be told.
func Answer(connection int, grant Grant) error {
	runtime.LockOSThread() // until the process ends: its thread changes its namespace
	timeout := unix.Timeval{Sec: receiveSeconds}
	if err := unix.SetsockoptTimeval(connection, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	var r request
	folder, err := receive(connection, &r)
	if err != nil {
		return send(connection, answer{Error: "the request cannot be read: " + err.Error()}, none)
	}
	fuse, err := grant.carryOut(connection, r, folder)
	if err != nil {
		return send(connection, answer{Error: err.Error()}, none)
	}
	return send(connection, answer{}, fuse)
}

// carryOut returns the descriptor of /dev/fuse that serves a mount, none for an unmount.
func (g Grant) carryOut(connection int, r request, folder int) (int, error) {
	if folder == none {
		return none, errors.New("the request came without a folder")
	}
	w := &worker{Grant: g}
	var err error
	if w.procfs, err = unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return none, err
	}
	if w.caller, err = callerOf(w.procfs, connection); err != nil {
		return none, err
	}
	if w.sandbox, err = readTable(w.procfs, "thread-self/mountinfo"); err != nil {
		return none, err
	}
	switch r.Op {
	case opMount:
		o, err := parseOptions(r.Options)
		if err != nil {
			return none, err
		}
		fuse, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return none, fmt.Errorf("open %s of the sandbox: %w", device, err)
		}
		return fuse, w.mount(folder, fuse, o)
	case opUnmount:
		return none, w.unmount(folder, r.Name, r.Lazy)
	}
	return none, fmt.Errorf("the operation %.20q is not known", r.Op)
}

// enter moves the thread into the caller's namespace of mounts.
func (w *worker) enter() error {
	namespace, err := w.namespace(w.procfs)
	if err != nil {
		return err
	}
	defer unix.Close(namespace)
	w.theirs, err = enter(w.procfs, namespace)
	return err
}

// enter moves the thread into a namespace of mounts, and returns its table.
func enter(procfs, namespace int) (table, error) {
	// The kernel moves no thread that shares its root and working folder with others.
	err := unix.Unshare(unix.CLONE_FS)
	if err == nil {
		err = unix.Setns(namespace, unix.CLONE_NEWNS)
	}
	if err != nil {
		return nil, fmt.Errorf("enter the container's mounts: %w", err)
	}
	return readTable(procfs, "thread-self/mountinfo")
}

// mount mounts over a folder that is open. Which mount the descriptor was opened on cannot
// be forged, and its name is not looked at.
func (w *worker) mount(folder, fuse int, o options) error {
	if err := w.enter(); err != nil {
		return err
	}
	if err := w.mayMount(folder); err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(folder, &stat); err != nil {
		return fmt.Errorf("look at the mount point: %w", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return errors.New("the mount point is no folder")
	}
	if !w.mayCover(stat) {
		return errors.New("the mount point is not the caller's: it must be a folder in which the caller may write, and without the sticky bit unless it is its owner")
	}
	data, err := o.data(fuse, stat.Mode, w.uid, w.gid, w.Mark)
	if err == nil {
		err = unix.Fchdir(folder)
	}
	if err == nil {
		err = unix.Mount(o.source, ".", o.kind, o.flags, data)
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", o.kind, err)
	}
	return nil
}

// mayMount refuses a folder that is not on an emptyDir which the caller's container may
// write to.
func (w *worker) mayMount(folder int) error {
	id, err := mountID(w.procfs, folder)
	if err != nil {
		return err
	}
	on, v := w.theirs.find(id), volumes{w.sandbox, w.Folder}
	switch {
	case on == nil:
		return errors.New("the mount point is not one of the caller's container")
	case !v.holds(on):
		return fmt.Errorf("%s is on no emptyDir of the pod: FUSE file systems can be mounted on and below the mountPath of an emptyDir", on.Mountpoint)
	case readOnly(on):
		return fmt.Errorf("%s is mounted read-only in this container", on.Mountpoint)
	}
	count := 0
	for _, m := range w.theirs {
		if isFuse(m) {
			count++
		}
	}
	if count >= maxMounts {
		return fmt.Errorf("this container has %d FUSE file systems already", count)
	}
	return nil
}

// unmount unmounts a name in a folder that is open, if a FUSE file system of this sandbox
// is mounted there.
func (w *worker) unmount(folder int, name string, lazy bool) error {
	if name == "" || name == "." || name == ".." || path.Base(name) != name {
		return fmt.Errorf("%.40q is not the name of a mount point", name)
	}
	if err := w.enter(); err != nil {
		return err
	}
	point, err := w.pointAt(folder, name)
	if err != nil {
		return err
	}
	if !w.owns(point) {
		return fmt.Errorf("%s belongs to another user", point.Mountpoint)
	}
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	if err = unix.Fchdir(folder); err == nil {
		err = unix.Unmount(name, flags)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", point.Mountpoint, err)
	}
	return nil
}

// pointAt returns the mount whose mount point is a name in a folder. The name can be
// changed meanwhile, but not to one that leads to another kind of mount: a mount point in
// use cannot be renamed, and in a folder of an emptyDir nothing else is mounted than FUSE
// file systems and other volumes of the pod.
func (w *worker) pointAt(folder int, name string) (*mountinfo.Info, error) {
	var ids [2]int
	var err error
	if ids[0], err = mountID(w.procfs, folder); err != nil {
		return nil, err
	}
	above := w.theirs.find(ids[0])
	if above == nil || isFuse(above) {
		return nil, errors.New("the mount point is not one of the caller's container, or lies in a FUSE file system")
	}
	// Without O_PATH the file system's program would be asked, which may hang.
	fd, err := unix.Openat(folder, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the mount point: %w", err)
	}
	ids[1], err = mountID(w.procfs, fd)
	unix.Close(fd) // before the unmount, which would find it busy
	if err != nil {
		return nil, err
	}
	point := w.theirs.find(ids[1])
	if point == nil || ids[0] == ids[1] || !w.ours(point, w.theirs) {
		return nil, errors.New("no FUSE file system of this pod is mounted there")
	}
	return point, nil
}

// ours says whether a mount, in the table that it is from, is a FUSE file system that was
// mounted over an emptyDir by a worker of this sandbox, possibly over another such one.
func (w *worker) ours(m *mountinfo.Info, in table) bool {
	marked := func(m *mountinfo.Info) bool { return isFuse(m) && w.Mark.in(m.VFSOptions) }
	if !marked(m) {
		return false
	}
	on := m
	for range in { // no more than there are
		if on = in.find(on.Parent); on == nil || !marked(on) {
			break
		}
	}
	return on != nil && volumes{w.sandbox, w.Folder}.holds(on)
}

// owns says whether a FUSE file system is the caller's.
func (w *worker) owns(m *mountinfo.Info) bool {
	return w.uid == 0 || valueOf(m.VFSOptions, "user_id") == strconv.FormatUint(uint64(w.uid), 10)
}

// Available says whether a sandbox can mount FUSE file systems.
func Available() bool {
	info, err := os.Stat(device)
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
