package cgroups

import (
	"os"
	"path/filepath"
	"testing"
)

// TestGroupOOM: the file of the container's own group is written, wherever the group is,
// and no other.
func TestGroupOOM(t *testing.T) {
	const id = "0123456789abcdef"
	for _, c := range []struct {
		name          string
		unified       bool
		groups        []string
		container     string
		want, refused bool
	}{
		{"as the engine makes it", true, []string{"docker/" + id, "docker/other", "init"}, id, true, false},
		{"below a group of the pod", true, []string{"pod/a/" + id, "docker/other"}, id, true, false},
		{"ended", true, []string{"docker/other"}, id, false, false},
		{"version 1", false, []string{"docker/" + id}, id, false, false},
		{"no name", true, []string{"docker/other"}, "", false, true},
		{"a path", true, []string{"docker/other"}, "docker/other", false, true},
		{"above", true, []string{"docker/other"}, "..", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			if c.unified {
				writeFile(t, filepath.Join(root, "cgroup.controllers"), "memory")
			}
			for _, group := range c.groups {
				if err := os.MkdirAll(filepath.Join(root, group), 0o700); err != nil {
					t.Fatal(err)
				}
				writeFile(t, filepath.Join(root, group, "memory.oom.group"), "0")
			}
			if err := groupOOM(root, c.container); (err != nil) != c.refused {
				t.Fatalf("error %v", err)
			}
			for _, group := range c.groups {
				want := "0"
				if c.want && filepath.Base(group) == id {
					want = "1"
				}
				if got, err := os.ReadFile(filepath.Join(root, group, "memory.oom.group")); err != nil || string(got) != want {
					t.Errorf("group %s has %q, %v, want %q", group, got, err, want)
				}
			}
		})
	}
	// Without the controller of memory there is no such file.
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "cgroup.controllers"), "pids")
	if err := os.MkdirAll(filepath.Join(root, "docker", id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := groupOOM(root, id); err != nil {
		t.Error(err)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
