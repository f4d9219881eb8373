//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// powered is a file system of its own whose power can be cut: what was not synced is
// lost then, since its journal is written only at a sync or after ten minutes.
type powered struct{ image, at string }

func newPowered(t *testing.T) *powered {
	t.Helper()
	at, err := os.MkdirTemp("/tmp", "dp")
	if err != nil {
		t.Fatal(err)
	}
	p := &powered{image: at + ".img", at: at}
	t.Cleanup(func() {
		eventually(t, runLimit, "nobody uses the file system", func() bool { return p.unmount() == nil }, nil)
		if err := errors.Join(os.Remove(p.image), os.Remove(at)); err != nil {
			t.Errorf("remove the file system whose power is cut: %v", err)
		}
	})
	if err := os.WriteFile(p.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(p.image, 256<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", "-m0", p.image)
	p.mount(t)
	return p
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	// PATH of an ordinary shell lacks the system folders.
	shell := append([]string{"-c", `PATH=$PATH:/usr/sbin:/sbin; exec "$@"`, "sh"}, argv...)
	if out, err := exec.Command("/bin/sh", shell...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
}

func (p *powered) mount(t *testing.T) {
	t.Helper()
	run(t, "mount", "-o", "loop,commit=600", p.image, p.at)
}

// unmount succeeds once the kernel has let go of the file system: a container that is
// being started elsewhere has a copy of the host's mounts for a moment, and one that is
// mounted while such a copy is there is the same as before.
func (p *powered) unmount() error {
	if err := unix.Unmount(p.at, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, device := range devices {
		if file, err := os.ReadFile(device); err == nil && strings.TrimSpace(string(file)) == p.image {
			return fmt.Errorf("%s is in use", p.image)
		}
	}
	return err
}

// cut ends all writing at once; what is only in memory is lost with the next mount.
func (p *powered) cut(t *testing.T) {
	t.Helper()
	dir, err := os.Open(p.at)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	const (
		ext4Shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush   = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	)
	how := uint32(noLogFlush)
	if _, _, code := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&how))); code != 0 {
		t.Fatalf("cut the power of %s: %v", p.at, code)
	}
}

// back is the power's return.
func (p *powered) back(t *testing.T) {
	t.Helper()
	eventually(t, runLimit, "nobody uses the file system", func() bool { return p.unmount() == nil }, nil)
	p.mount(t)
}

// TestPowerLoss: a create that was answered and a delete that was answered are not
// forgotten when the power fails right after the answer.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	disk := newPowered(t)
	// The control: a file that nothing has synced is lost, its name or its content.
	control := filepath.Join(disk.at, "control")
	if err := errors.Join(os.WriteFile(control+".new", []byte("x"), 0o600), os.Rename(control+".new", control)); err != nil {
		t.Fatal(err)
	}
	disk.cut(t)
	disk.back(t)
	if text, err := os.ReadFile(control); err == nil && len(text) > 0 {
		t.Fatal("a file that was not synced has outlived the loss of power")
	}
	// No pod gets a sandbox, so nothing is written, and synced, after the answers.
	data := filepath.Join(disk.at, "d")
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "SandboxImage": "docker-sd.invalid/none:none", "DataRootFolder": data})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	lose := func(t *testing.T) {
		t.Helper()
		disk.cut(t)
		if err := d.kill(); err != nil {
			t.Fatal(err)
		}
		disk.back(t)
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
	}
	known, unknown := newPod(shell("c", "true")), newPod(shell("c", "true"))
	for _, step := range []struct {
		name string
		call func(t *testing.T)
		then func(t *testing.T)
	}{
		{"delete of an unknown pod", func(t *testing.T) { d.mustDelete(t, unknown) }, func(t *testing.T) { d.mustRefuse(t, unknown) }},
		{"create", func(t *testing.T) { d.mustCreate(t, known) }, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(data, "records", string(known.UID)+".json")); err != nil {
				t.Errorf("a pod whose create was answered: %v", err)
			}
		}},
		{"delete", func(t *testing.T) { d.mustDelete(t, known) }, func(t *testing.T) { d.mustRefuse(t, known) }},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.call(t)
			lose(t)
			step.then(t)
		})
	}
}

func (d *daemon) mustDelete(t *testing.T, pod *v1.Pod) {
	t.Helper()
	if code, text := d.must(t, http.MethodPost, "/delete", encode(t, pod)); code != http.StatusOK {
		t.Fatalf("delete was answered with %d: %s", code, text)
	}
}

// mustRefuse has a pod created that was deleted.
func (d *daemon) mustRefuse(t *testing.T, pod *v1.Pod) {
	t.Helper()
	if code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod))); code != http.StatusConflict {
		t.Errorf("create of a pod whose delete was answered: %d %s", code, text)
	}
}

// mustCreate creates a pod that the test follows by itself.
func (d *daemon) mustCreate(t *testing.T, pod *v1.Pod) {
	t.Helper()
	code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(pod)))
	var answer map[string]string
	if err := json.Unmarshal([]byte(text), &answer); err != nil || code != http.StatusOK || answer["PodJID"] == "" {
		t.Fatalf("create was answered with %d: %s", code, text)
	}
}
