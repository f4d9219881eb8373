package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestShares: the host keeps its part, and one sandbox gets no more than its share.
func TestShares(t *testing.T) {
	const gib = 1 << 30
	most := func(all int64) int64 { return all - all/20 }
	for name, c := range map[string]struct {
		memory, pids int64
		edit         func(*config.Config)
		driver       string
		want         shares
	}{
		"large": {64 * gib, 4194304, nil, "cgroupfs", shares{parent: "/docker-sd-docker-sd",
			all:  cgroup.Bounds{MemoryBytes: 64*gib - 64*gib/20, Pids: 3774874, CPUs: 8},
			each: engine.Resources{MemoryBytes: most(64*gib - 64*gib/20), PidsLimit: 32768, CgroupParent: "/docker-sd-docker-sd"}}},
		"few process ids": {4 * gib, 32768, nil, "cgroupfs", shares{parent: "/docker-sd-docker-sd",
			all:  cgroup.Bounds{MemoryBytes: 4*gib - 512<<20, Pids: 29492, CPUs: 8},
			each: engine.Resources{MemoryBytes: most(4*gib - 512<<20), PidsLimit: 1024, CgroupParent: "/docker-sd-docker-sd"}}},
		"small, with systemd": {gib, 131072, func(c *config.Config) { c.MaxPods = 10 }, "systemd", shares{parent: "dockersd-docker_sd.slice",
			all:  cgroup.Bounds{MemoryBytes: 768 << 20, Pids: 117965, CPUs: 8},
			each: engine.Resources{MemoryBytes: most(768 << 20), PidsLimit: 13107, CgroupParent: "dockersd-docker_sd.slice"}}},
		"as configured": {8 * gib, 32768, func(c *config.Config) {
			c.SystemReserved, c.PodPidsLimit = config.SystemReserved{MemoryBytes: 6 * gib, Pids: 30000}, 2000
		}, "cgroupfs", shares{parent: "/docker-sd-docker-sd",
			all:  cgroup.Bounds{MemoryBytes: 2 * gib, Pids: 2768, CPUs: 8},
			each: engine.Resources{MemoryBytes: most(2 * gib), PidsLimit: 2000, CgroupParent: "/docker-sd-docker-sd"}}},
		"no groups, one more than all": {8 * gib, 4096, func(c *config.Config) { c.PodPidsLimit, c.MaxPods = 9000, 0 }, "none", shares{
			all:  cgroup.Bounds{MemoryBytes: 8*gib - 512<<20, Pids: 3687, CPUs: 8},
			each: engine.Resources{MemoryBytes: most(8*gib - 512<<20), PidsLimit: 3687}}},
	} {
		s := config.Default()
		if c.edit != nil {
			c.edit(&s)
		}
		got, err := sharesOf(s, engine.Info{MemoryBytes: c.memory, CPUs: 8, CgroupDriver: c.driver}, c.pids)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(shares{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for key, reserve := range map[string]config.SystemReserved{"SystemReserved.memory": {MemoryBytes: 8 * gib}, "SystemReserved.pid": {Pids: 32000}} {
		s := config.Default()
		s.SystemReserved = reserve
		if _, err := sharesOf(s, engine.Info{MemoryBytes: 8 * gib}, 32768); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s leaves sandboxes nothing: %v", key, err)
		}
	}
}

func TestHostPids(t *testing.T) {
	proc := t.TempDir()
	if got := hostPids(proc); got != usualPids {
		t.Errorf("of a kernel that does not tell: %d", got)
	}
	if err := os.MkdirAll(filepath.Join(proc, "sys/kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	set := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(proc, "sys/kernel", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set("pid_max", "4194304\n")
	set("threads-max", "190000\n")
	if got := hostPids(proc); got != usualPids {
		t.Errorf("%d in a container, where pid_max may be its own", got)
	}
	if err := os.MkdirAll(filepath.Join(proc, "self/ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(hostPidNamespace, filepath.Join(proc, "self/ns/pid")); err != nil {
		t.Fatal(err)
	}
	if got := hostPids(proc); got != 190000 {
		t.Errorf("%d, want the lower of the two", got)
	}
}
