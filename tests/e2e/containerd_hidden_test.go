//go:build e2e && containerdstore

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// withoutContainerd is docker-sd where the socket of the engine's containerd is out of reach.
func withoutContainerd(t *testing.T) string {
	t.Helper()
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c 'mount --bind /dev/null \"$0\" && exec \"$@\"' %q %q \"$@\"\n",
		containerdStore(t).Containerd.Address, suite.binary)
	path := filepath.Join(t.TempDir(), "docker-sd")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// imagesLine is what the check says of images.
func imagesLine(t *testing.T, d *daemon, binary string) preflight.Line {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "-interlinkconfigpath", d.Config, "check", "-o", "json", "--no-boot")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.Engine)
	out, err := cmd.Output()
	var report preflight.Report
	if json.Unmarshal(out, &report) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return lineOf(t, report, "images")
}

// stores are the engines that a daemon imports images to.
func (d *daemon) stores(t *testing.T) int {
	t.Helper()
	found, err := suite.engine.allContainers(t.Context(), d.label(), storeLabel)
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// hasStoreVolume says whether the volume with imported images is there.
func (d *daemon) hasStoreVolume(t *testing.T) bool {
	t.Helper()
	there, err := suite.engine.hasVolume(t.Context(), d.instance+"-images")
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// TestContainerdLayersOutOfReach: without containerd's socket an image is imported once, and
// the check says what to do. A docker-sd that has it then goes on with the pod, shares new
// images, and removes the store when no pod needs it any more.
func TestContainerdLayersOutOfReach(t *testing.T) {
	hidden := withoutContainerd(t)
	d := daemonOf(t, hidden, 1, nil)
	image := loadLayered(t, 1<<20)
	c := shell("c", `test -e /vol/again || { touch /vol/again; until test -e /end; do sleep 0.2; done; exit 1; }; sha256sum /big; exec sleep 86396`)
	c.Image = image.ref
	pod := withVolume(newPod(c), emptyDir(), "/vol")
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	p := d.run(t, pod)
	p.waitRunning()
	if n := d.count("image imported", image.ref); n != 1 || d.stores(t) != 1 || !d.hasStoreVolume(t) {
		t.Errorf("%d imports, %d stores, volume: %t", n, d.stores(t), d.hasStoreVolume(t))
	}
	if line := imagesLine(t, d, hidden); line.Verdict != preflight.Warn || !strings.Contains(line.Found, "is no socket") || !strings.Contains(line.Do, "socket of the engine's containerd") {
		t.Errorf("the check says %+v", line)
	}
	if line := imagesLine(t, d, suite.binary); line.Verdict != preflight.OK || !strings.Contains(line.Found, "containerd's store") {
		t.Errorf("the check says %+v", line)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	d.Binary = suite.binary
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the engine with imported images is gone", func() bool { return d.stores(t) == 0 }, nil)
	if !d.hasStoreVolume(t) {
		t.Error("the volume went under a pod")
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/end", processIn(t, p.sandbox().ID, "test -e /end")), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.waitFor("its container has started again", func(s podStatus) bool {
		return s.Container("c").RestartCount == 1 && s.Container("c").State.Running != nil
	})
	p.waitLog("c", image.sum+"  /big\n")
	late := loadLayered(t, 1<<20)
	once := shell("c", "sha256sum /big")
	once.Image = late.ref
	q := d.run(t, newPod(once))
	q.waitPhase(v1.PodSucceeded)
	if out := q.logs("c", logOptions{}); out != late.sum+"  /big\n" || d.count("image imported", late.ref) > 0 {
		t.Errorf("a new image: %q, %d imports", out, d.count("image imported", late.ref))
	}
	p.delete(0)
	p.waitGone()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the volume with imported images is gone", func() bool { return !d.hasStoreVolume(t) }, nil)
}

// TestContainerdLayersCrash is TestCrash for what is done in containerd alone.
func TestContainerdLayersCrash(t *testing.T) {
	for _, at := range containerdCrashes {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			c := newCrashRun(t, at)
			at.life(c)
			c.checkNothingLeft()
			c.d.waitHolds(t)
		})
	}
}
