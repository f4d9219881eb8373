package cgroups

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
)

// TestDelegate: controllers are given one by one, so that one that is refused keeps no
// other back; where all are refused, or the group is gone, that is an error.
func TestDelegate(t *testing.T) {
	const control = "cgroup.subtree_control"
	group := func(controllers string, control func(string) error) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte(controllers), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := control(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	file := func(dir string) error { return os.WriteFile(filepath.Join(dir, control), nil, 0o600) }
	// A folder in its place refuses every write.
	folder := func(dir string) error { return os.Mkdir(filepath.Join(dir, control), 0o700) }
	for name, c := range map[string]struct {
		dir   string
		fails bool
	}{
		"given":          {group("cpu memory pids\n", file), false},
		"none there":     {group("\n", folder), false},
		"all refused":    {group("cpu memory\n", folder), true},
		"no group there": {filepath.Join(t.TempDir(), "missing"), true},
	} {
		if err := delegate(c.dir); (err != nil) != c.fails {
			t.Errorf("%s: %v, want failure %t", name, err, c.fails)
		}
	}
	dir := group("cpu memory\n", file)
	if err := delegate(dir); err != nil {
		t.Fatal(err)
	}
	// Each is a write of its own from the file's beginning, so the last one stays.
	if got, err := os.ReadFile(filepath.Join(dir, control)); err != nil || string(got) != "+memory" {
		t.Errorf("the last write is %q, %v", got, err)
	}
}

func TestGroupOptions(t *testing.T) {
	for super, want := range map[string]string{
		"rw,cpu,cpuacct": "cpu,cpuacct",
		"ro,memory":      "memory",
		"rw,xattr,name=systemd,release_agent=/lib/systemd/x": "xattr,none,name=systemd",
		"rw,name=systemd":        "none,name=systemd",
		"rw,pids,clone_children": "pids,clone_children",
	} {
		if got := groupOptions(&mountinfo.Info{FSType: "cgroup", VFSOptions: super}); got != want {
			t.Errorf("groupOptions(%q) = %q, want %q", super, got, want)
		}
	}
	if got := groupOptions(&mountinfo.Info{FSType: "cgroup2", VFSOptions: "rw,nsdelegate,memory_recursiveprot"}); got != "" {
		t.Errorf("options of version 2 are %q", got)
	}
}
