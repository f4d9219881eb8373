//go:build e2e

package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// smallDisk is a file system of its own for a daemon's files.
func smallDisk(t *testing.T) (at string) {
	t.Helper()
	at, err := os.MkdirTemp("/tmp", "dm")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(at, unix.MNT_DETACH), os.Remove(at)); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return at
}

// fill leaves no page of a disk free.
func fill(t *testing.T, disk string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(disk, "fill"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, piece := range []int{1 << 20, 4 << 10, 1} {
		for {
			if _, err := f.Write(make([]byte, piece)); errors.Is(err, unix.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDataFolderFails: creates are refused with the reason, pods that run go on,
// deletes are not lost, and all is well again with the disk.
func TestDataFolderFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		begin, end func(t *testing.T, disk string)
		reason     string
		// restarts says that a sandbox that stopped can be started meanwhile.
		restarts bool
	}{
		"full": {
			begin: fill, reason: "no space left on device", restarts: true,
			end: func(t *testing.T, disk string) {
				if err := os.Remove(filepath.Join(disk, "fill")); err != nil {
					t.Fatal(err)
				}
			},
		},
		"read-only": {
			begin:  func(t *testing.T, disk string) { remount(t, disk, unix.MS_RDONLY) },
			end:    func(t *testing.T, disk string) { remount(t, disk, 0) },
			reason: "read-only file system",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, outside := smallDisk(t), t.TempDir()
			d := prepareDaemonIn(t, filepath.Join(disk, "d"), map[string]any{"AVAILABLEDINDS": 1, "HostPathPrefixes": []string{outside}})
			if err := d.start(); err != nil {
				t.Fatal(err)
			}
			living := d.run(t, newPod(shell("c", "echo before; "+untilStopped)))
			leaving := d.run(t, newPod(shell("c", untilStopped)))
			ending := d.run(t, withVolume(newPod(shell("c", "while ! test -e /vol/end; do usleep 50000; done; echo ended")), hostDir(outside), "/vol"))
			always := newPod(shell("c", untilStopped))
			always.Spec.RestartPolicy = v1.RestartPolicyAlways
			victim := d.run(t, always)
			for _, p := range []*podRun{living, leaving, ending, victim} {
				p.waitRunning()
			}
			d.waitWarmBeside(t, 1)

			end := sync.OnceFunc(func() { c.end(t, disk) })
			defer end()
			c.begin(t, disk)
			code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(newPod(shell("c", "true")))))
			if code != http.StatusServiceUnavailable || !strings.Contains(text, c.reason) || !strings.Contains(text, "record") {
				t.Errorf("create was answered with %d %q, want 503 that says %q", code, text, c.reason)
			}
			leaving.delete(0)
			touch(t, filepath.Join(outside, "end"))
			ending.waitPhase(v1.PodSucceeded)
			if got := ending.logs("c", logOptions{}); got != "ended\n" {
				t.Errorf("log of the pod that ended = %q", got)
			}
			if err := suite.engine.kill(t.Context(), victim.sandbox().ID); err != nil {
				t.Fatal(err)
			}
			if c.restarts {
				victim.waitFor("the pod whose sandbox was killed runs again", again)
			} else {
				victim.waitFor("the pod whose sandbox was killed waits", func(s podStatus) bool {
					return strings.Contains(encodeText(t, s), c.reason)
				})
			}
			if got := living.status().Container("c"); got.State.Running == nil || got.RestartCount != 0 {
				t.Errorf("the pod that ran is %+v", got)
			}
			if got := living.logs("c", logOptions{}); got != "before\n" {
				t.Errorf("log = %q", got)
			}

			end()
			if !c.restarts {
				victim.waitFor("the pod whose sandbox was killed runs again", again)
			}
			leaving.waitGone()
			eventually(t, runLimit, "the ended pod lets go of its sandbox", func() bool {
				found, err := ending.find(t.Context())
				return err == nil && len(found) == 0
			}, d.log.String)
			if got := ending.logs("c", logOptions{}); got != "ended\n" {
				t.Errorf("log of the pod that ended = %q", got)
			}
			if got := d.run(t, newPod(shell("c", "echo ran"))).output(); got != "ran\n" {
				t.Errorf("log = %q", got)
			}
			// What was decided meanwhile is on disk now.
			if err := d.kill(); err != nil {
				t.Fatal(err)
			}
			if err := d.start(); err != nil {
				t.Fatal(err)
			}
			d.waitReady(t)
			living.waitRunning()
			ending.waitPhase(v1.PodSucceeded)
		})
	}
}

// again says that the only container runs for a second time.
func again(s podStatus) bool {
	return s.Container("c").State.Running != nil && s.Container("c").LastTerminationState.Terminated != nil
}

func encodeText(t *testing.T, value any) string { return string(encode(t, value)) }

func remount(t *testing.T, disk string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		t.Fatalf("remount %s: %v", disk, err)
	}
}
