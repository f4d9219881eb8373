//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// bait is what attacks look for: each thing is the host's, and in reach of a
// container with the doors open.
type bait struct {
	mark string
	env  []string
}

// layBait puts up a process, sockets, shared memory, a key and a file.
func layBait(t *testing.T, dir string) bait {
	t.Helper()
	b := bait{mark: "attack-" + uuid.NewString()[:8]}
	file := filepath.Join(dir, b.mark)
	for _, name := range []string{file, "/dev/shm/" + b.mark} {
		if err := os.WriteFile(name, []byte("the host's"), 0o666); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(name) })
	}
	abstract, err := net.Listen("unix", "@"+b.mark)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { abstract.Close() })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	if _, err := unix.AddKey("user", b.mark, []byte("the host's"), unix.KEY_SPEC_USER_KEYRING); err != nil {
		t.Fatalf("add a key: %v", err)
	}
	t.Cleanup(func() {
		if id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", b.mark, 0); err == nil {
			_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
		}
	})
	key := 0x5d000000 | os.Getpid()
	segment, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(segment, unix.IPC_RMID, nil) })
	process := exec.Command("sleep", "3600")
	process.Args[0] = b.mark
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	b.env = []string{"ATTACK_MARK=" + b.mark, "ATTACK_FILES=" + file, "ATTACK_TCP=" + tcp.Addr().String(), fmt.Sprintf("ATTACK_SHM=%d", key)}
	return b
}

// openDoors is a container that has everything that the host's engine gives.
func openDoors(dir string) map[string]any {
	return map[string]any{
		"CapAdd": []string{"ALL"}, "CapDrop": []string{"SYS_RESOURCE"}, "SecurityOpt": []string{"seccomp=unconfined", "apparmor=unconfined"},
		"MaskedPaths": []string{}, "ReadonlyPaths": []string{}, "PidMode": "host", "NetworkMode": "host", "IpcMode": "host",
		"CgroupnsMode": "private", "DeviceCgroupRules": []string{"a *:* rwm"},
		"Binds": []string{dir + ":" + dir, "/sys:/sys", strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://") + ":/run/engine.sock"},
	}
}

// kind is a sort of container that a pod may have.
type kind struct {
	name     string
	pod      func(*v1.PodSpec)
	security *v1.SecurityContext
}

var allCapabilities = &v1.Capabilities{Add: []v1.Capability{"ALL"}}
var unfiltered = &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}

func hostPID(s *v1.PodSpec)   { s.HostPID = true }
func sharedPID(s *v1.PodSpec) { s.ShareProcessNamespace = ptr(true) }
func hostIPC(s *v1.PodSpec)   { s.HostIPC = true }

// kinds are containers with all that a pod may ask for.
var kinds = []kind{
	{name: "default"},
	{name: "unfiltered", security: &v1.SecurityContext{SeccompProfile: unfiltered}},
	{name: "privileged", security: &v1.SecurityContext{Privileged: ptr(true)}},
	{name: "capable", security: &v1.SecurityContext{Capabilities: allCapabilities, SeccompProfile: unfiltered}},
	{name: "netadmin", security: &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"NET_ADMIN", "NET_RAW"}}}},
	{name: "hostpid", pod: hostPID},
	{name: "hostpid-privileged", pod: hostPID, security: &v1.SecurityContext{Privileged: ptr(true)}},
	{name: "sharedpid-ptrace", pod: sharedPID, security: &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"SYS_PTRACE"}}}},
	{name: "sharedpid-privileged", pod: sharedPID, security: &v1.SecurityContext{Privileged: ptr(true)}},
	{name: "hostipc-privileged", pod: hostIPC, security: &v1.SecurityContext{Privileged: ptr(true)}},
	{name: "user", security: &v1.SecurityContext{RunAsUser: ptr(int64(1000)), SeccompProfile: unfiltered}},
}

// attackPod has one container of a kind, which tries everything.
func (k kind) attackPod(t *testing.T, b bait) *v1.Pod {
	t.Helper()
	c := attacker(t, "c", "probe")
	c.SecurityContext = k.security
	for _, entry := range b.env {
		name, value, _ := strings.Cut(entry, "=")
		c.Env = append(c.Env, v1.EnvVar{Name: name, Value: value})
	}
	pod := newPod(c)
	if k.pod != nil {
		k.pod(&pod.Spec)
	}
	return pod
}

// TestAttackKernel: no kind of container reaches the kernel's settings, a device, a
// mount, a process, a socket or memory of the host. The same attacks succeed in a
// container that the host's engine gives everything.
func TestAttackKernel(t *testing.T) {
	t.Parallel()
	theIntruder(t)
	d := ownDaemon(t, 2, nil)
	b := layBait(t, d.dir)
	control := findings(runPlain(t, map[string]any{"Cmd": []string{"/intruder", "probe"}, "Env": b.env, "HostConfig": openDoors(d.dir)}))
	var usable []string
	for _, name := range sortedKeys(control) {
		switch f := control[name]; {
		case f.state == escaped:
			usable = append(usable, name)
		case slices.Contains(notHere, name):
			t.Logf("%s is not to be had on this machine: %s", name, f.saw)
		default:
			t.Errorf("the control of %s %s: %s", name, f.state, f.saw)
		}
	}
	t.Logf("%d attacks succeed with the doors open", len(usable))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			p := d.run(t, k.attackPod(t, b))
			got := findings(p.output())
			for _, name := range usable {
				f, known := got[name]
				reason, remains := remaining[name][k.name]
				switch {
				case !known:
					t.Errorf("%s was not tried", name)
				case f.state == escaped && !remains:
					t.Errorf("%s escaped: %s", name, f.saw)
				case f.state != escaped && remains:
					t.Errorf("%s is said to remain (%s) and held: %s", name, reason, f.saw)
				}
			}
		})
	}
}

// notHere are attacks that some kernels have nothing for.
var notHere = []string{"io-ports", "kernel-module", "vsock", "proc-files", "real-time"}

// remaining is what some kinds of containers can do, and why that is so.
var remaining = map[string]map[string]string{
	"user-limits": of("without a seccomp filter a container may lift its own limits, and never its sandbox's",
		"unfiltered", "privileged", "capable", "hostpid-privileged", "sharedpid-privileged", "hostipc-privileged"),
}

// of gives one reason for several kinds.
func of(reason string, kinds ...string) map[string]string {
	out := map[string]string{}
	for _, name := range kinds {
		out[name] = reason
	}
	return out
}
