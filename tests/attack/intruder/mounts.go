package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mounted mounts something in a folder of its own, looks at it, and unmounts it.
func mounted(source, kind string, flags uintptr, data string, look func(dir string) outcome) outcome {
	dir, err := os.MkdirTemp(scratch(), "mnt")
	if err != nil {
		return absent("%v", err)
	}
	defer os.Remove(dir)
	if err := unix.Mount(source, dir, kind, flags, data); err != nil {
		return held("mount %s: %v", kind, err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	return look(dir)
}

func anything(dir string) outcome { return escaped("mounted at %s", dir) }

func mountProc() outcome {
	return mounted("proc", "proc", 0, "", func(dir string) outcome { return writeBack(filepath.Join(dir, "sys/kernel/core_pattern")) })
}

func mountSysfs() outcome {
	return mounted("sysfs", "sysfs", 0, "", func(dir string) outcome { return writable(dir, skipSys) })
}

func mountTmpfs() outcome { return mounted("tmpfs", "tmpfs", 0, "size=4k", anything) }

func mountBind() outcome { return mounted("/", "", unix.MS_BIND, "", anything) }

// mountAgain makes a read-only mount of the kernel's settings writable, or takes away
// what hides a file.
func mountAgain() outcome {
	for _, name := range []string{"/proc/sys", "/sys", "/sys/fs/cgroup"} {
		if err := unix.Mount("", name, "", unix.MS_REMOUNT|unix.MS_BIND, ""); err == nil {
			return escaped("%s is mounted writable", name)
		}
	}
	for _, name := range []string{"/proc/sys", "/proc/kcore", "/proc/keys", "/sys/firmware"} {
		if err := unix.Unmount(name, unix.MNT_DETACH); err == nil {
			return escaped("%s is no more mounted over", name)
		}
	}
	// What is not a mount of its own can be made one.
	if err := unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""); err != nil {
		return held("no mount can be changed: %v", err)
	}
	defer func() { _ = unix.Unmount("/proc/sys", unix.MNT_DETACH) }()
	if err := unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, ""); err != nil {
		return held("no mount can be changed: %v", err)
	}
	return kernelSettings()
}

// mountDevice mounts the disk that something here comes from, as it is mounted there,
// so that nothing is written to it.
func mountDevice() outcome {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return absent("%v", err)
	}
	var last error
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, source := strings.Fields(before), strings.Fields(after)
		if len(fields) < 3 || len(source) < 3 || !strings.HasPrefix(source[1], "/dev/") && source[0] != "ext4" && source[0] != "xfs" {
			continue
		}
		major, minor, ok := numbers(fields[2])
		if !ok || major == 0 {
			continue
		}
		name := filepath.Join(scratch(), "disk")
		_ = os.Remove(name)
		if last = unix.Mknod(name, unix.S_IFBLK|0o600, int(unix.Mkdev(major, minor))); last != nil {
			continue
		}
		flags := uintptr(unix.MS_RDONLY)
		if strings.HasPrefix(source[2], "rw") {
			flags = 0
		}
		o := mounted(name, source[0], flags, "", anything)
		os.Remove(name)
		if o.state != "held" {
			return o
		}
		last = errors.New(o.saw)
	}
	return held("%v", last)
}

func numbers(device string) (major, minor uint32, ok bool) {
	a, b, found := strings.Cut(device, ":")
	if !found {
		return 0, 0, false
	}
	for i, text := range []string{a, b} {
		n := uint32(0)
		for _, digit := range text {
			n = n*10 + uint32(digit-'0')
		}
		if i == 0 {
			major = n
		} else {
			minor = n
		}
	}
	return major, minor, true
}

// controllers are those of control groups of version 1, and version 2.
var controllers = []string{"rdma", "devices", "memory", "pids", "cpu", "freezer", "blkio", "cpuset", "perf_event", "net_cls", "hugetlb", "misc"}

// eachCgroup mounts every hierarchy and hands it to look until one escapes.
func eachCgroup(look func(dir string) outcome) outcome {
	last := held("no control group can be mounted")
	for _, name := range controllers {
		if last = mounted("cgroup", "cgroup", 0, name, look); last.state == "escaped" {
			return last
		}
	}
	if o := mounted("cgroup2", "cgroup2", 0, "", look); o.state == "escaped" {
		return o
	}
	return last
}

func mountCgroup() outcome { return eachCgroup(groupFiles) }

// groupFiles opens what decides over bounds and the agent of a control group, and
// allows a device that every container has.
func groupFiles(dir string) outcome {
	if err := os.WriteFile(filepath.Join(dir, "devices.allow"), []byte("c 1:3 rwm"), 0); err == nil {
		return escaped("%s takes a device", dir)
	}
	return openAny(dir, "release_agent", "memory.limit_in_bytes", "pids.max", "memory.max", "cpu.cfs_quota_us", "cpu.max", "cgroup.procs")
}

func openAny(dir string, names ...string) outcome {
	var last error
	for _, name := range names {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
			return escaped("%s opens for writing", filepath.Join(dir, name))
		}
		last = err
	}
	return held("%v", last)
}

// cgroupFiles looks at the control groups that are mounted already.
func cgroupFiles() outcome {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return absent("%v", err)
	}
	last := held("no control group is mounted")
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 5 || !strings.HasPrefix(after, "cgroup") {
			continue
		}
		if last = groupFiles(fields[4]); last.state == "escaped" {
			return last
		}
	}
	return last
}

// mountNewAPI uses the calls that came with Linux 5.2.
func mountNewAPI() outcome {
	if fd, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC); err == nil {
		defer unix.Close(fd)
		_, _, errno := unix.Syscall6(unix.SYS_FSCONFIG, uintptr(fd), unix.FSCONFIG_CMD_CREATE, 0, 0, 0, 0)
		if errno == 0 {
			return escaped("made a mount of proc")
		}
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return held("%v", err)
	}
	unix.Close(fd)
	return escaped("cloned the tree of mounts")
}

// userProc mounts a procfs of its own and writes back a setting of the kernel's.
func userProc() outcome {
	return mounted("proc", "proc", 0, "", func(dir string) outcome { return writeBack(filepath.Join(dir, "sys/kernel/core_pattern")) })
}

func userSysfs() outcome {
	return mounted("sysfs", "sysfs", 0, "", func(dir string) outcome { return writable(dir, skipSys) })
}

// userLimits wants the bounds of the container's own control group.
func userLimits() outcome {
	return eachCgroup(func(dir string) outcome {
		return openAny(dir, "memory.limit_in_bytes", "pids.max", "cpu.cfs_quota_us", "memory.max")
	})
}

// eachGroup calls f with the folder of every control group that is mounted or that can
// be, and of those one level below.
func eachGroup(f func(dir string)) {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(before); len(fields) > 4 && strings.HasPrefix(after, "cgroup") {
			_ = unix.Mount("", fields[4], "", unix.MS_REMOUNT|unix.MS_BIND, "")
			f(fields[4])
		}
	}
	for _, name := range controllers {
		mounted("cgroup", "cgroup", 0, name, func(dir string) outcome { f(dir); return held("") })
	}
	mounted("cgroup2", "cgroup2", 0, "", func(dir string) outcome { f(dir); return held("") })
}

// ownBounds takes away every bound that it can reach. Whether one of the container's
// own was among them is for its host to say.
func ownBounds() outcome {
	lifted := 0
	eachGroup(func(dir string) {
		for name, value := range map[string]string{"memory.limit_in_bytes": "-1", "memory.max": "max", "pids.max": "max"} {
			if os.WriteFile(filepath.Join(dir, name), []byte(value), 0) == nil {
				lifted++
			}
		}
	})
	if lifted == 0 {
		return held("no bound is in reach")
	}
	return escaped("%d bounds were lifted", lifted)
}

// ownDevices allows itself every device, and then opens a disk for reading.
func ownDevices() outcome {
	taken := 0
	eachGroup(func(dir string) {
		if os.WriteFile(filepath.Join(dir, "devices.allow"), []byte("a"), 0) == nil {
			taken++
		}
	})
	o := blockDevices()
	if o.state == "held" {
		return held("%d groups took all devices; %s", taken, o.saw)
	}
	return o
}
