//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// treeLimit is how long a pod with a large tree may take to go. It is gone in a
// fraction of it on a machine that has nothing else to do.
const treeLimit = 5 * time.Minute

// makeLimit is how long the pod may take to make it, which is longer.
const makeLimit = 20 * time.Minute

// TestTreesAreRemoved: neither the depth nor the width of what a pod leaves in a
// volume keeps it from going, and docker-sd needs next to nothing for it. A million files
// take minutes to make, so the short form has fewer.
func TestTreesAreRemoved(t *testing.T) {
	tools := filepath.Join(t.TempDir(), "tools")
	build := exec.Command("go", "build", "-o", filepath.Join(tools, "trees"), "../trees")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program that makes trees: %v\n%s", err, out)
	}
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "HostPathPrefixes": []string{tools}})
	// Without the race detector, whose memory is not docker-sd's.
	binary, err := suite.faulty()
	if err != nil {
		t.Fatal(err)
	}
	d.Binary = binary
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	width := 100_000
	if *attackFor >= time.Minute {
		width = 1_000_000
	}
	d.churn(t, lanes) // the first pods open what stays open
	for _, tree := range []struct {
		name, kind string
		count      int
		folder     string
	}{
		{"deep", "deep", 100_000, "/vol/tree"},
		{"wide", "wide", width, "/vol/tree"},
		// In the sandbox's volume, which the engine has to remove.
		{"deep in a container", "deep", 100_000, "/tree"},
	} {
		t.Run(tree.name, func(t *testing.T) {
			pod := newPod(shell("c", fmt.Sprintf("/tools/trees %s %d %s && %s", tree.kind, tree.count, tree.folder, untilStopped)))
			pod = withVolume(pod, emptyDir(), "/vol")
			pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: "tools", VolumeSource: hostDir(tools)})
			pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts,
				v1.VolumeMount{Name: "tools", MountPath: "/tools", ReadOnly: true})
			p := d.run(t, pod)
			eventually(t, makeLimit, "the tree is made", func() bool { return p.logs("c", logOptions{}) == "made\n" }, nil)
			used := volumes([]hostContainer{p.sandbox()})
			began, memory, descriptors := time.Now(), d.resident(t), d.descriptors(t)
			p.delete(0)
			most, mostDescriptors := memory, descriptors
			eventually(t, treeLimit, "the pod is gone", func() bool {
				most, mostDescriptors = max(most, d.resident(t)), max(mostDescriptors, d.descriptors(t))
				left, err := p.traces()
				return err == nil && len(left) == 0 && noneOf(t, used)
			}, func() string { return d.log.About(string(pod.UID)) })
			t.Logf("gone after %s; %d MB more memory, %d more descriptors", time.Since(began).Round(time.Millisecond),
				(most-memory)>>20, mostDescriptors-descriptors)
			if more := most - memory; more > 20<<20 {
				t.Errorf("docker-sd took %d bytes more memory", more)
			}
			if more := mostDescriptors - descriptors; more > 50 {
				t.Errorf("docker-sd opened %d descriptors more", more)
			}
		})
	}
	for line := range strings.Lines(d.log.String()) {
		if len(line) > 4096 {
			t.Errorf("a line of %d bytes in the log: %.200s", len(line), line)
		}
	}
}

// noneOf says whether all the volumes are gone.
func noneOf(t *testing.T, names []string) bool {
	t.Helper()
	for _, name := range names {
		there, err := suite.engine.hasVolume(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if there {
			return false
		}
	}
	return true
}

// resident is the memory of the daemon's process.
func (d *daemon) resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}
