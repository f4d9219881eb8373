//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// smallExt4 is a file system of 96 MiB in a file, where the machine has loop devices,
// and else one in memory.
func smallExt4(t *testing.T) (at string) {
	t.Helper()
	at, err := os.MkdirTemp("/tmp", "dx")
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 96*mebibyte); err != nil {
		t.Fatal(err)
	}
	mkfs, mkfsErr := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput()
	mount, mountErr := []byte{}, mkfsErr
	if mkfsErr == nil {
		mount, mountErr = exec.Command("mount", "-o", "loop", image, at).CombinedOutput()
	}
	if mountErr != nil {
		t.Logf("no loop device, a file system in memory instead: %s%s (%v)", mkfs, mount, mountErr)
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=96m,mode=0700"); err != nil {
			t.Fatalf("mount a small disk: %v", err)
		}
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(at, unix.MNT_DETACH), os.Remove(at)); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return at
}

func freeOn(t *testing.T, path string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// TestPodThatFillsTheDisk of pods' folders is evicted with kubelet's words, before
// others cannot write; one that requested what it uses stays, and there is room again.
func TestPodThatFillsTheDisk(t *testing.T) {
	t.Parallel()
	for name, mebibytes := range map[string]int{"low": 45, "full": 200} {
		t.Run(name, func(t *testing.T) { t.Parallel(); fillsTheDisk(t, mebibytes) })
	}
}

func fillsTheDisk(t *testing.T, mebibytes int) {
	full := mebibytes > 96
	disk := smallExt4(t)
	d := prepareDaemonIn(t, filepath.Join(disk, "d"), map[string]any{"AVAILABLEDINDS": 0, "EvictionHard": map[string]string{"nodefs.available": "40%"}})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	fill := func(mebibytes int, request string) *v1.Pod {
		c := shell("c", fmt.Sprintf("dd if=/dev/zero of=/vol/x bs=1M count=%d; echo filled; ", mebibytes)+untilStopped)
		c.Resources.Requests = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse(request)}
		pod := withVolume(newPod(c), emptyDir(), "/vol")
		long := int64(100000)
		pod.Spec.TerminationGracePeriodSeconds = &long // it has none when a disk is low
		return pod
	}
	reserved := d.run(t, fill(20, "25Mi"))
	reserved.waitRunning()
	eventually(t, runLimit, "the first pod has written", func() bool {
		return strings.Contains(reserved.logs("c", logOptions{}), "filled")
	}, nil)
	before := freeOn(t, disk)
	greedy := d.run(t, fill(mebibytes, "1Mi"))
	greedy.waitMessage("c", "Evicted", "The node was low on resource: ephemeral-storage. Threshold quantity: ", ", available: ",
		"was using ", "request is 1Mi, has larger consumption of ephemeral-storage.")
	greedy.waitPhase(v1.PodFailed)
	if code, text := d.must(t, http.MethodGet, "/readyz", nil); code != http.StatusOK && !strings.Contains(text, "a disk is low") {
		t.Errorf("/readyz says %d %s", code, text)
	}
	eventually(t, runLimit, "what the pod had written is gone", func() bool { return freeOn(t, disk) > before-5*mebibyte },
		func() string {
			return fmt.Sprintf("%d MiB free of %d before", freeOn(t, disk)/mebibyte, before/mebibyte)
		})
	if got := greedy.logs("c", logOptions{}); !full && !strings.Contains(got, "records") {
		t.Errorf("the log of the evicted pod is %q", got)
	}
	d.waitReady(t)
	if got := reserved.status().Container("c"); got.State.Running == nil || got.RestartCount != 0 {
		t.Errorf("the pod that uses what it requested is %+v", got)
	}
	// It does not come back with docker-sd.
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	greedy.waitMessage("c", "Evicted", "was using ")
	if got := reserved.status().Container("c"); got.State.Running == nil {
		t.Errorf("the pod that uses what it requested is %+v", got)
	}
}

// TestContainerThatFillsTheDisk of the engine's data, with its writable layer.
func TestContainerThatFillsTheDisk(t *testing.T) {
	t.Parallel()
	var engine struct{ DockerRootDir string }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/info", &engine); err != nil {
		t.Fatal(err)
	}
	// Others write to this disk as well, and remove what they wrote: it may be low before
	// the pod has written all, or only when it has written much more.
	low := freeOn(t, engine.DockerRootDir) - 150*mebibyte
	d := ownDaemon(t, 0, map[string]any{"EvictionHard": map[string]string{"imagefs.available": strconv.FormatInt(low, 10)}})
	modest := d.run(t, newPod(shell("c", "echo one >/small; "+untilStopped)))
	greedy := d.run(t, newPod(shell("c", "for i in $(seq 30); do dd if=/dev/zero of=/large$i bs=1M count=100; sync; sleep 1; done; "+untilStopped)))
	greedy.waitMessage("c", "Evicted", "The node was low on resource: ephemeral-storage.", "Container c was using ", ", request is 0, has larger consumption of ephemeral-storage.")
	if got := modest.status().Container("c"); got.State.Running == nil {
		t.Errorf("the modest pod is %+v", got)
	}
}
