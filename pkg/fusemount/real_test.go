package fusemount

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What this binary is when a test runs it again.
const (
	role        = "FUSEMOUNT_ROLE"
	roleSandbox = "sandbox" // has its own mounts, and answers
	roleAnswer  = "answer"  // carries out one request
	roleAbort   = "abort"
	roleCaller  = "caller" // is in a container
	roleStray   = "stray"  // is in a namespace of users of its own
	testSocket  = "/run/socket"
)

var testGrant = Grant{Folder: "/run/pod/emptyDirs", Mark: 5}

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case roleSandbox:
		err = beSandbox()
	case roleAnswer:
		err = Answer(3, testGrant)
	case roleAbort:
		err = Abort(testGrant)
	case roleCaller:
		err = beCaller()
	case roleStray:
		_, err = tryMount("/run/c/vol/mnt")
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// again is this binary as something else, in new namespaces.
func again(as string, flags uintptr, files ...*os.File) *exec.Cmd {
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), role+"="+as)
	command.ExtraFiles = files
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	if flags&unix.CLONE_NEWUSER != 0 {
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return command
}

// TestAnswer mounts with the real kernel: a sandbox, and in it a container, are processes
// with mounts of their own.
func TestAnswer(t *testing.T) {
	flags := uintptr(unix.CLONE_NEWNS)
	if os.Geteuid() != 0 {
		flags |= unix.CLONE_NEWUSER
	}
	if out, err := again(roleSandbox, flags).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// beSandbox has two volumes, answers, and runs the container.
func beSandbox() error {
	err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"),
		unix.Mount("", "/run", "", unix.MS_SHARED, ""),
		os.MkdirAll("/run/pod/emptyDirs/a/mnt", 0o755), os.MkdirAll("/run/pod/emptyDirs/a/host", 0o755), os.MkdirAll("/run/pod/emptyDirs/a/twice", 0o755),
		os.MkdirAll("/run/pod/configMaps/b", 0o755), os.MkdirAll("/run/c/vol", 0o755), os.MkdirAll("/run/c/ro", 0o755), os.MkdirAll("/run/c/other", 0o755))
	if err != nil {
		return err
	}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: testSocket, Net: "unixpacket"})
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			file, err := conn.File()
			if err != nil {
				fmt.Println(err)
			}
			conn.Close()
			out, err := again(roleAnswer, 0, file).CombinedOutput()
			if file.Close(); err != nil {
				fmt.Printf("answer: %v\n%s", err, out)
			}
		}
	}()
	folder, err := os.Open("/run/pod/emptyDirs/a/mnt")
	if err != nil {
		return err
	}
	out, err := again(roleCaller, unix.CLONE_NEWNS, folder).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the container: %w\n%s", err, out)
	}
	return nil
}

// tryMount asks for a mount and returns the descriptor of /dev/fuse.
func tryMount(at string) (int, error) {
	folder, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return none, err
	}
	defer unix.Close(folder)
	return call(testSocket, request{Op: opMount, Options: "rw,subtype=test,fsname=source"}, folder)
}

// beCaller attacks from a container, with a control for each attempt.
func beCaller() error {
	bind := func(source, target string, flags uintptr) error {
		err := unix.Mount(source, target, "", unix.MS_BIND, "")
		if err == nil && flags != 0 {
			err = unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|flags, "")
		}
		return err
	}
	if err := errors.Join(bind("/run/pod/emptyDirs/a", "/run/c/vol", 0), bind("/run/pod/emptyDirs/a", "/run/c/ro", unix.MS_RDONLY),
		unix.Mount("tmpfs", "/run/c/other", "tmpfs", 0, "")); err != nil {
		return err
	}
	var problems []error
	for _, attempt := range []func() error{mountsAndUnmounts, isRefused, leavesOthers, isAborted} {
		problems = append(problems, attempt())
	}
	return errors.Join(problems...)
}

func table1(at string) (string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, " "+at+" ") {
			return line, err
		}
	}
	return "", err
}

func mountsAndUnmounts() error {
	fuse, err := tryMount("/run/c/vol/mnt")
	if err != nil {
		return fmt.Errorf("the control: %w", err)
	}
	defer unix.Close(fuse)
	line, err := table1("/run/c/vol/mnt")
	if err != nil || !strings.Contains(line, "nosuid,nodev") || !strings.Contains(line, " fuse.test source rw,user_id=0,group_id=0") {
		return fmt.Errorf("it is mounted as %q, %w", line, err)
	}
	if err := unmountAt(testSocket, "/run/c/vol/mnt", false); err != nil {
		return err
	}
	if line, err = table1("/run/c/vol/mnt"); line != "" {
		return fmt.Errorf("after the unmount there is %q, %w", line, err)
	}
	return nil
}

func isRefused() error {
	var problems []error
	expect := func(what, words string, err error) {
		if err == nil || !strings.Contains(err.Error(), words) {
			problems = append(problems, fmt.Errorf("%s: %w, want %s", what, err, words))
		}
	}
	for at, words := range map[string]string{"/run/c/other": "on no emptyDir", "/run/c": "on no emptyDir", "/proc": "on no emptyDir",
		"/run/pod/configMaps/b": "on no emptyDir", "/run/c/ro/mnt": "mounted read-only"} {
		_, err := tryMount(at)
		expect("mount at "+at, words, err)
	}
	// A descriptor from another namespace, which another container may have sent.
	_, err := call(testSocket, request{Op: opMount}, 3)
	expect("mount in another namespace", "not one of the caller's container", err)
	_, err = call(testSocket, request{Op: opMount}, none)
	expect("mount without a folder", "without a folder", err)
	_, err = call(testSocket, request{Op: "remount"}, 3)
	expect("another operation", "is not known", err)
	for _, name := range []string{"", ".", "..", "a/b", "/run"} {
		_, err = call(testSocket, request{Op: opUnmount, Name: name, Lazy: true}, 3)
		expect("unmount of "+name, "is not the name of a mount point", err)
	}
	for _, at := range []string{"/run/c/vol", "/run/c/other", "/proc", "/run/c/vol/mnt"} {
		expect("unmount of "+at, "no FUSE file system of this pod", unmountAt(testSocket, at, true))
	}
	out, err := again(roleStray, unix.CLONE_NEWUSER|unix.CLONE_NEWNS).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("from a namespace of users")) {
		problems = append(problems, fmt.Errorf("from a namespace of users: %w\n%s", err, out))
	}
	return errors.Join(problems...)
}

// hostFuse mounts one as the host does, over a volume.
func hostFuse(at string) (int, error) {
	fuse, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return none, err
	}
	return fuse, unix.Mount("host", at, "fuse.host", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,max_read=131072", fuse))
}

// leavesOthers: what a worker did not mount cannot be unmounted.
func leavesOthers() error {
	fuse, err := hostFuse("/run/c/vol/host")
	if err != nil {
		return err
	}
	defer unix.Close(fuse)
	if err := unmountAt(testSocket, "/run/c/vol/host", true); err == nil {
		return errors.New("a file system of the host was unmounted")
	}
	return unix.Unmount("/run/c/vol/host", unix.MNT_DETACH)
}

// isAborted: all that workers mounted is ended, also where one lies on another, and a file
// system of the host is not.
func isAborted() error {
	host, err := hostFuse("/run/c/vol/host")
	if err != nil {
		return err
	}
	defer unix.Close(host)
	folder, err := unix.Open("/run/c/vol/twice", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	served := []int{}
	for range 2 {
		fuse, err := call(testSocket, request{Op: opMount, Options: "rw"}, folder)
		if err != nil {
			return err
		}
		served = append(served, fuse)
	}
	if out, err := again(roleAbort, 0).CombinedOutput(); err != nil {
		return fmt.Errorf("abort: %w\n%s", err, out)
	}
	return abortedOnly(served, host)
}

func abortedOnly(served []int, host int) error {
	// Each has a first message to read, unless it was ended.
	buffer := make([]byte, 1<<20)
	for i, fuse := range served {
		if n, err := unix.Read(fuse, buffer); !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ECONNABORTED) {
			return fmt.Errorf("file system %d goes on: read %d, %w", i, n, err)
		}
	}
	if n, err := unix.Read(host, buffer); err != nil || n == 0 {
		return fmt.Errorf("the host's file system was ended: read %d, %w", n, err)
	}
	if line, err := table1("/run/c/vol/twice"); line != "" || err != nil {
		return fmt.Errorf("after the end there is %q, %w", line, err)
	}
	if line, err := table1("/run/c/vol/host"); line == "" || err != nil {
		return fmt.Errorf("the host's file system is gone: %w", err)
	}
	return nil
}
