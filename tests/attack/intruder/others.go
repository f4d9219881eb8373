package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fileHandle opens the root folder of a file system of the host by its inode, from a
// file that is mounted from there.
func fileHandle() outcome {
	var last error
	for _, name := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/"} {
		mount, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			last = err
			continue
		}
		inode := make([]byte, 8)
		binary.NativeEndian.PutUint32(inode, 2)
		fd, err := unix.OpenByHandleAt(mount, unix.NewFileHandle(1, inode), unix.O_RDONLY|unix.O_DIRECTORY)
		unix.Close(mount)
		if err == nil {
			unix.Close(fd)
			return escaped("opened the root of the file system of %s", name)
		}
		last = err
	}
	return held("%v", last)
}

// processes are the folders of all that are seen but this one and its children.
func processes() []string {
	all, _ := filepath.Glob("/proc/[0-9]*")
	var out []string
	for _, dir := range all {
		if exe, err := os.Readlink(dir + "/exe"); err == nil && filepath.Base(exe) == "intruder" {
			continue
		}
		out = append(out, dir)
	}
	return out
}

// otherRoots looks for an engine's files in the root of every process.
func otherRoots() outcome {
	for _, dir := range processes() {
		for _, name := range []string{"usr/local/bin/dockerd", "usr/sbin/dockerd", "usr/bin/dockerd", "run/docker-sd"} {
			// A pause process of the sandbox's image has such files of its own and
			// nothing else; the engine's state is where it runs.
			if _, err := os.Stat(filepath.Join(dir, "root", name)); err == nil && hasEngineState(filepath.Join(dir, "root")) {
				return escaped("%s/root/%s", dir, name)
			}
		}
	}
	return held("no root of %d processes shows an engine's files", len(processes()))
}

func hasEngineState(root string) bool {
	for _, name := range []string{"var/lib/docker/containers", "var/lib/docker/overlay2", "run/docker/containerd", "var/run/docker/containerd", "var/tmp"} {
		if entries, err := os.ReadDir(filepath.Join(root, name)); err == nil && len(entries) > 0 {
			return true
		}
	}
	return false
}

// otherPrograms opens the program of every process of an engine for writing. One that
// runs is busy, which says as much.
func otherPrograms() outcome {
	for _, dir := range processes() {
		fd, err := unix.Open(dir+"/exe", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		name, _ := os.ReadFile(dir + "/comm")
		// That it is busy is said before that its mount is read-only.
		var system unix.Statfs_t
		readOnly := unix.Statfs(dir+"/exe", &system) == nil && system.Flags&unix.ST_RDONLY != 0
		if isEngine(string(name)) && !readOnly && (err == nil || errors.Is(err, unix.ETXTBSY)) {
			return escaped("%s/exe (%s): %v", dir, strings.TrimSpace(string(name)), err)
		}
	}
	return held("no program of an engine is open to writing")
}

func isEngine(name string) bool {
	for _, word := range []string{"dockerd", "containerd", "runc", "docker-sd", "under-test"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// otherMemory opens the memory and the files of an engine's processes.
func otherMemory() outcome {
	for _, dir := range processes() {
		name, _ := os.ReadFile(dir + "/comm")
		arguments, _ := os.ReadFile(dir + "/cmdline")
		if !isEngine(string(name)) || strings.Contains(string(arguments), "\x00pause") { // the pod's own
			continue
		}
		for _, file := range []string{"mem", "cwd/.", "fd/1", "fd/2", "root/."} {
			if fd, err := unix.Open(filepath.Join(dir, file), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err == nil {
				unix.Close(fd)
				return escaped("%s/%s of %s", dir, file, strings.TrimSpace(string(name)))
			}
		}
		if text, err := os.ReadFile(dir + "/environ"); err == nil && len(text) > 0 {
			return escaped("%s/environ of %s", dir, strings.TrimSpace(string(name)))
		}
	}
	return held("no engine's memory is in reach")
}

// hostProcess looks for a process with the mark among its arguments.
func hostProcess() outcome {
	for _, dir := range processes() {
		if text, err := os.ReadFile(dir + "/cmdline"); err == nil && mark() != "" && strings.Contains(string(text), mark()) {
			return escaped("%s is the host's", dir)
		}
	}
	return held("%d processes, none of the host", len(processes()))
}

// joinNamespace enters the mount namespace of another process.
func joinNamespace() outcome {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return absent("%v", err)
	}
	var last error
	for _, dir := range processes() {
		theirs, err := os.Readlink(dir + "/ns/mnt")
		if err != nil || theirs == own {
			last = err
			continue
		}
		name, _ := os.ReadFile(dir + "/comm")
		if last = join(dir + "/ns/mnt"); last == nil {
			return escaped("entered the mounts of %s", strings.TrimSpace(string(name)))
		}
	}
	return held("%v", last)
}

func join(namespace string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- err
			return
		}
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			done <- err
			return
		}
		done <- unix.Setns(fd, unix.CLONE_NEWNS)
	}()
	return <-done
}

// sockets connects to every socket in the file system.
func sockets() outcome {
	found := 0
	result := held("")
	_ = filepath.WalkDir("/", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if entry.IsDir() && (name == "/proc" || name == "/sys") {
			return fs.SkipDir
		}
		if entry.Type()&fs.ModeSocket == 0 {
			return nil
		}
		found++
		conn, err := net.DialTimeout("unix", name, time.Second)
		if err == nil {
			conn.Close()
			result = escaped("connected to %s", name)
			return fs.SkipAll
		}
		return nil
	})
	if result.state == "held" {
		return held("%d sockets, none answers", found)
	}
	return result
}

// abstractSockets connects to every socket that has a name but no file.
func abstractSockets() outcome {
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return absent("%v", err)
	}
	found := 0
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.HasPrefix(fields[7], "@") {
			continue
		}
		found++
		conn, err := net.DialTimeout("unix", fields[7], time.Second)
		if err == nil {
			conn.Close()
			return escaped("connected to %s", fields[7])
		}
	}
	return held("%d names, none answers", found)
}

// loopback connects to addresses of the host's.
func loopback() outcome {
	var last error
	for _, address := range listed("ATTACK_TCP") {
		conn, err := net.DialTimeout("tcp", address, 2*time.Second)
		if err == nil {
			conn.Close()
			return escaped("connected to %s", address)
		}
		last = err
	}
	return held("%v", last)
}

// sharedMemory looks for memory that somebody else has put up.
func sharedMemory() outcome {
	if _, err := os.Stat("/dev/shm/" + mark()); mark() != "" && err == nil {
		return escaped("/dev/shm has a file of the host's")
	}
	for _, key := range listed("ATTACK_SHM") {
		var n int
		if _, err := fmt.Sscan(key, &n); err != nil {
			return absent("%v", err)
		}
		if _, err := unix.SysvShmGet(n, 0, 0); err == nil {
			return escaped("a segment of the host's is there")
		}
	}
	return held("no memory of the host's")
}

// markedFiles looks for a file with the mark in its name, in every root that is seen.
func markedFiles() outcome {
	found := ""
	_ = filepath.WalkDir("/", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || mark() == "" {
			return nil
		}
		if entry.IsDir() && (name == "/proc" || name == "/sys" || name == "/dev") {
			return fs.SkipDir
		}
		if strings.Contains(entry.Name(), mark()) {
			found = name
			return fs.SkipAll
		}
		return nil
	})
	for _, dir := range processes() {
		for _, name := range listed("ATTACK_FILES") {
			if _, err := os.Stat(filepath.Join(dir, "root", name)); err == nil {
				found = filepath.Join(dir, "root", name)
			}
		}
	}
	if found == "" {
		return held("no file of the host's")
	}
	return escaped("%s", found)
}
