package cgroups

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

func TestSettingsOfAGroup(t *testing.T) {
	g := initapi.Group{MemoryBytes: 64 << 20, NanoCPUs: 1_500_000_000}
	for _, c := range []struct {
		kind, controller string
		want             []setting
	}{
		{"cgroup", "memory", []setting{{"memory.limit_in_bytes", "67108864", false}, {"memory.memsw.limit_in_bytes", "67108864", true}}},
		{"cgroup2", "memory", []setting{{"memory.max", "67108864", false}, {"memory.swap.max", "0", true}}},
		{"cgroup", "cpu", []setting{{"cpu.cfs_period_us", "100000", false}, {"cpu.cfs_quota_us", "150000", false}}},
		{"cgroup2", "cpu", []setting{{"cpu.max", "150000 100000", false}}},
	} {
		if diff := cmp.Diff(c.want, settingsOf(c.kind, c.controller, g), cmp.AllowUnexported(setting{})); diff != "" {
			t.Errorf("%s %s, -want +got:\n%s", c.kind, c.controller, diff)
		}
	}
}

// TestBoundAGroup: a file that may be missing is left out, another one is an error.
func TestBoundAGroup(t *testing.T) {
	group := filepath.Join(t.TempDir(), "pod")
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(group, "memory.max"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := bound(group, settingsOf("cgroup2", "memory", initapi.Group{MemoryBytes: 1 << 20})); err != nil {
		t.Errorf("without swap: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(group, "memory.max")); err != nil || string(got) != "1048576" {
		t.Errorf("memory.max has %s, %v", got, err)
	}
	if err := bound(group, settingsOf("cgroup2", "cpu", initapi.Group{NanoCPUs: 1e9})); err == nil {
		t.Error("a group without cpu.max was bounded")
	}
}
