// Package inittest is what the tests of the init and of its parts share: processes in
// namespaces of their own, files, and mounts.
package inittest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// isolatedTest names the test that this process runs by itself.
const isolatedTest = "SANDBOXINIT_ISOLATED"

// Isolated runs a test again in a process and a mount namespace of its own, where /run
// is empty and nothing that is mounted reaches the host. It is true in that process.
func Isolated(t *testing.T, flags uintptr) bool {
	t.Helper()
	if os.Getenv(isolatedTest) == t.Name() {
		for _, err := range []error{unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	command := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	command.Env = append(os.Environ(), isolatedTest+"="+t.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | flags, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := command.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")) {
		t.Errorf("in namespaces of its own: %v\n%s", err, out)
	}
	return false
}

// Poll waits for a condition.
func Poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

// MountMemory mounts a file system in memory at a folder, which it makes.
func MountMemory(t *testing.T, path string) string {
	t.Helper()
	if err := unix.Mount("tmpfs", Folder(t, path), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	return path
}

// MountedAt lists what is mounted at a path or below it.
func MountedAt(t *testing.T, path string) []string {
	t.Helper()
	points, err := mountinfo.GetMounts(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, m := range points {
		if m.Mountpoint == path || strings.HasPrefix(m.Mountpoint, path+"/") {
			out = append(out, m.Mountpoint)
		}
	}
	return out
}
