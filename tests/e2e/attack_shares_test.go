//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// manyProcesses is more than a pod is given by default, and little for a host.
const manyProcesses = 1500

// TestAttackProcesses: a pod starts processes until it is given no more. A container
// without a bound gets all of them.
func TestAttackProcesses(t *testing.T) {
	t.Parallel()
	argv := []string{"spawn", strconv.Itoa(manyProcesses)}
	control := findings(runPlain(t, map[string]any{"Cmd": append([]string{"/intruder"}, argv...)}))
	if f := control["spawn"]; f.state != escaped {
		t.Fatalf("the control %s: %s", f.state, f.saw)
	}
	d := sharedDaemon(t)
	if f := findings(d.run(t, newPod(attacker(t, "c", argv...))).output())["spawn"]; f.state != held {
		t.Errorf("a pod %s: %s", f.state, f.saw)
	}
}

// TestAttackMemory: above all sandboxes there is a bound that leaves the host its part,
// which is what the kernel holds them to when each takes all it may.
func TestAttackMemory(t *testing.T) {
	t.Parallel()
	var host unix.Sysinfo_t
	if err := unix.Sysinfo(&host); err != nil {
		t.Fatal(err)
	}
	total := host.Totalram * uint64(host.Unit)
	d := ownDaemon(t, 1, nil)
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	id, err := makePlain(t.Context(), map[string]any{"Image": suite.images.busybox, "Cmd": []string{"sleep", "600"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := suite.engine.removeContainer(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	suite.engine.post(t, "/containers/"+id+"/start", nil, nil)
	if bound, where := boundAbove(t, id); bound != 0 {
		t.Fatalf("a container without docker-sd is bound by %s to %d bytes: the control proves nothing", where, bound)
	}
	bound, where := boundAbove(t, p.sandbox().ID)
	if bound == 0 || bound >= total {
		t.Errorf("nothing above the sandbox keeps all of them from the host's %d bytes: %d %s", total, bound, where)
	}
}

// boundAbove is the least bound on memory of a control group above a container's own,
// in bytes, or 0 where there is none.
func boundAbove(t *testing.T, id string) (least uint64, where string) {
	t.Helper()
	for name := range boundsOf(t, id) {
		if base := filepath.Base(name); base != "memory.limit_in_bytes" && base != "memory.max" {
			continue
		}
		for dir := filepath.Dir(filepath.Dir(name)); strings.HasPrefix(dir, "/sys/fs/cgroup/"); dir = filepath.Dir(dir) {
			text, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)))
			bound, perr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
			// What version 1 calls no bound is the greatest number of pages.
			if err == nil && perr == nil && bound < 1<<62 && (least == 0 || bound < least) {
				least, where = bound, dir
			}
		}
	}
	return least, where
}

// TestAttackOwnLimit: a container without a filter may mount control groups of its own
// and lift its limit there. It does not reach that of its sandbox.
func TestAttackOwnLimit(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	c := shell("c", "until test -e /dev/shm/go; do sleep 1; done; /intruder probe user-bounds user-limits; echo tried; "+untilStopped)
	c.Image = theIntruder(t).image
	c.Resources = limits("", "64Mi")
	c.SecurityContext = &v1.SecurityContext{SeccompProfile: unfiltered}
	p := d.run(t, newPod(c))
	p.waitRunning()
	// The sandbox gets the pod's bounds while its containers start.
	var before map[string]string
	eventually(t, runLimit, "the sandbox has the bounds of its pod", func() bool {
		before = boundsOf(t, p.sandbox().ID)
		return memoryOf(before) < 1<<30
	}, func() string { return fmt.Sprint(before) })
	execIn(t, p.sandbox().ID, nil, []string{"touch", "/dev/shm/go"})
	eventually(t, runLimit, "it has tried", func() bool { return strings.Contains(p.logs("c", logOptions{}), "tried") }, nil)
	if f := findings(p.logs("c", logOptions{}))["user-limits"]; f.state != escaped {
		t.Errorf("the container %s its own limit: %s: docs/security.md says that it can", f.state, f.saw)
	}
	if after := boundsOf(t, p.sandbox().ID); !maps.Equal(before, after) {
		t.Errorf("the sandbox's bounds were %v and are %v", before, after)
	}
}

// memoryOf is the bound on memory among a container's own.
func memoryOf(bounds map[string]string) uint64 {
	least := uint64(math.MaxUint64)
	for name, value := range bounds {
		if n, err := strconv.ParseUint(value, 10, 64); err == nil && strings.HasPrefix(filepath.Base(name), "memory.") {
			least = min(least, n)
		}
	}
	return least
}
