package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const corePath = "/proc/sys/kernel/core_pattern"

// corePattern writes back what it reads.
func corePattern() outcome { return writeBack(corePath) }

func writeBack(name string) outcome {
	value, err := os.ReadFile(name)
	if err != nil {
		return absent("%v", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return held("%v", err)
	}
	defer f.Close()
	if _, err := f.Write(value); err != nil {
		return held("%v", err)
	}
	return escaped("wrote %s with the value that was there", name)
}

// masks are where a runtime mounts the container's /dev/null or console.
var masks = []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/dev/console"}

// maskedSettings finds out whether what masks a file is a setting of the kernel's: a
// volume over /dev brought a null or a console that is a link to it.
func maskedSettings() outcome {
	var setting, mask unix.Stat_t
	if err := unix.Stat(corePath, &setting); err != nil {
		return absent("%v", err)
	}
	for _, name := range append(listed("ATTACK_MASKED"), masks...) {
		if unix.Stat(name, &mask) == nil && mask.Ino == setting.Ino && mask.Mode == setting.Mode {
			if o := writeBack(name); o.state == "escaped" {
				return o
			}
		}
	}
	return held("no mask is a setting that can be written")
}

// settingsOfNamespaces are below /proc/sys and belong to the container's own network,
// IPC, UTS, PID or user namespace.
var settingsOfNamespaces = []string{"net", "user", "fs/mqueue", "kernel/msg", "kernel/sem", "kernel/shm", "kernel/auto_msgmni",
	"kernel/hostname", "kernel/domainname", "kernel/ns_last_pid", "kernel/pid_max"}

func kernelSettings() outcome {
	return writable("/proc/sys", func(name string) bool {
		for _, own := range settingsOfNamespaces {
			if name == own || strings.HasPrefix(name, own+"/") || strings.HasPrefix(own, "kernel/") && strings.HasPrefix(name, own) {
				return true
			}
		}
		return false
	})
}

// procFiles leaves out pressure, which every user of a host may ask to be told of.
func procFiles() outcome {
	return writable("/proc", func(name string) bool {
		first, _, _ := strings.Cut(name, "/")
		return first == "sys" || first == "net" || first == "self" || first == "thread-self" || first == "mounts" || first == "pressure" || strings.Trim(first, "0123456789") == ""
	})
}

func sysFiles() outcome { return writable("/sys", skipSys) }

// skipSys leaves out control groups, which have an attack of their own, and files
// that act when they are opened.
func skipSys(name string) bool {
	return name == "fs/cgroup" || name == "kernel/security" || name == "kernel/debug" || name == "kernel/tracing" || name == "kernel/config"
}

// writable counts the files below a folder that open for writing.
func writable(root string, skip func(string) bool) outcome {
	found, first := 0, ""
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, name)
		switch {
		case rel != "." && skip(rel):
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case err != nil, !entry.Type().IsRegular():
			return nil
		}
		if fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err == nil {
			// What is read-only by its mode opens for root, and takes nothing. What is
			// masked is /dev/null.
			var stat unix.Stat_t
			if unix.Fstat(fd, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG && stat.Mode&0o222 != 0 {
				if found++; first == "" {
					first = name
				}
			}
			unix.Close(fd)
		}
		return nil
	})
	if found == 0 {
		return held("no file below %s opens for writing: %v", root, err)
	}
	return escaped("%d files below %s open for writing, first %s", found, root, first)
}

// blockDevices opens each that the kernel has, by number, and reads a byte.
func blockDevices() outcome {
	table, err := os.ReadFile("/proc/partitions")
	if err != nil {
		return absent("%v", err)
	}
	var last error
	tried := 0
	try := func(major, minor uint32, name string) bool {
		tried++
		last = openDevice(unix.S_IFBLK, major, minor)
		return last == nil
	}
	for line := range strings.Lines(string(table)) {
		var major, minor uint32
		var blocks uint64
		var name string
		if n, _ := fmt.Sscan(line, &major, &minor, &blocks, &name); n == 4 && try(major, minor, name) {
			return escaped("opened %s (%d:%d)", name, major, minor)
		}
	}
	for minor := range uint32(4) {
		if try(7, minor, "loop") {
			return escaped("opened loop%d", minor)
		}
	}
	return held("%d devices, the last: %v", tried, last)
}

// openDevice makes a device by number and opens it for reading.
func openDevice(kind, major, minor uint32) error {
	dir, err := os.MkdirTemp(scratch(), "dev")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "d")
	if err := unix.Mknod(name, kind|0o600, int(unix.Mkdev(major, minor))); err != nil {
		return fmt.Errorf("mknod: %w", err)
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return unix.Close(fd)
}

// scratch is a folder to make files in, of which an image with nothing else has none.
func scratch() string {
	if err := os.MkdirAll("/tmp", 0o777); err == nil {
		return "/tmp"
	}
	return "/dev/shm"
}

// charDevices are those that give access to memory, disks, the kernel log and
// virtual machines.
func charDevices() outcome {
	var last error
	for name, number := range map[string][2]uint32{"mem": {1, 1}, "port": {1, 4}, "kmsg": {1, 11}, "loop-control": {10, 237},
		"device-mapper": {10, 236}, "kvm": {10, 232}, "vsock": {10, 258}} {
		if last = openDevice(unix.S_IFCHR, number[0], number[1]); last == nil {
			return escaped("opened %s", name)
		}
	}
	return held("the last: %v", last)
}

// fuseDevice is what a FUSE file system is served through. With it, and a namespace of
// users, a container could mount one that docker-sd does not know.
func fuseDevice() outcome {
	if err := openDevice(unix.S_IFCHR, 10, 229); err != nil {
		return held("%v", err)
	}
	return escaped("opened it")
}

func kernelLog() outcome {
	buffer := make([]byte, 1<<16)
	n, err := unix.Klogctl(3, buffer) // SYSLOG_ACTION_READ_ALL
	if err == nil && n > 0 {
		return escaped("read %d bytes of the kernel's log", n)
	}
	return held("%v", err)
}

// kernelModule hands the kernel something that is no module: it must not come as far
// as being looked at.
func kernelModule() outcome {
	image := []byte("no module")
	_, _, errno := unix.Syscall(unix.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)), uintptr(unsafe.Pointer(&[]byte{0}[0])))
	switch errno {
	case unix.EPERM:
		return held("%v", errno)
	case unix.ENOSYS:
		return absent("%v", errno)
	}
	return escaped("the kernel looked at a module: %v", errno)
}

// ioPorts asks for the port of the POST code, and gives it back.
func ioPorts() outcome {
	if runtime.GOARCH != "amd64" {
		return absent("no port I/O on %s", runtime.GOARCH)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Ioperm(0x80, 1, 1); err != nil {
		return held("%v", err)
	}
	_ = unix.Ioperm(0x80, 1, 0)
	return escaped("was given a port")
}

// realTime asks for a priority above that of every process of the host.
func realTime() outcome {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	priority := int32(1)
	_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, uintptr(unsafe.Pointer(&priority)))
	if errno != 0 {
		return held("%v", errno)
	}
	priority = 0
	_, _, _ = unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_NORMAL, uintptr(unsafe.Pointer(&priority)))
	return escaped("was given a real-time priority")
}

func bpfMap() outcome {
	attributes := struct{ kind, key, value, entries, flags uint32 }{1, 4, 4, 1, 0} // BPF_MAP_TYPE_HASH
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if errno != 0 {
		return held("%v", errno)
	}
	unix.Close(int(fd))
	return escaped("made a BPF map")
}

// perfEvent counts on a whole processor, with all that others run there.
func perfEvent() outcome {
	attributes := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: unix.PERF_COUNT_SW_CPU_CLOCK}
	fd, err := unix.PerfEventOpen(&attributes, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return held("%v", err)
	}
	unix.Close(fd)
	return escaped("watches a processor of the host")
}

// userFault asks to handle faults of the kernel itself, which lengthens its races.
func userFault() outcome {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		return held("%v", errno)
	}
	unix.Close(int(fd))
	return escaped("handles faults of the kernel")
}

// keyring looks for a key of another session in the keyring of this user. To read it
// is for its possessor, whom a link into the own session makes.
func keyring() outcome {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", mark(), 0)
	if err != nil {
		return held("%v", err)
	}
	_, _ = unix.KeyctlInt(unix.KEYCTL_LINK, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_SESSION_KEYRING, 0, 0)
	value := make([]byte, 256)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, value, 0)
	if err != nil {
		return escaped("found a key: %v", err)
	}
	return escaped("read a key: %s", value[:min(n, len(value))])
}

// vsock listens where the machine's hypervisor and, through it, others connect to.
func vsock() outcome {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return absent("%v", err)
	}
	if err != nil {
		return held("%v", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: unix.VMADDR_PORT_ANY}); err != nil {
		return held("%v", err)
	}
	return escaped("is bound to a port of the machine's own vsock")
}
