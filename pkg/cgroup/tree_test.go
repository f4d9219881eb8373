package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
)

// TestFindTree: version 1 with its controllers apart or together, both versions on one
// host, and version 2.
func TestFindTree(t *testing.T) {
	one := func(at, options string) *mountinfo.Info {
		return &mountinfo.Info{FSType: "cgroup", Root: "/", Mountpoint: "/c/" + at, VFSOptions: "rw," + options}
	}
	unified := &mountinfo.Info{FSType: "cgroup2", Root: "/", Mountpoint: "/c/unified"}
	for name, c := range map[string]struct {
		mounts  []*mountinfo.Info
		version string
		parent  string
		want    Tree
		fails   bool
	}{
		"apart": {[]*mountinfo.Info{one("cpu", "cpu"), one("cpuacct", "cpuacct"), one("memory", "memory")}, "1", "/docker-sd-a",
			Tree{CPU: "/c/cpuacct/docker-sd-a", Memory: "/c/memory/docker-sd-a"}, false},
		"together": {[]*mountinfo.Info{one("cpu,cpuacct", "cpu,cpuacct"), one("memory", "memory")}, "1", "dockersd-a.slice",
			Tree{CPU: "/c/cpu,cpuacct/dockersd.slice/dockersd-a.slice", Memory: "/c/memory/dockersd.slice/dockersd-a.slice"}, false},
		"hybrid": {[]*mountinfo.Info{unified, one("cpuacct", "cpuacct"), one("memory", "memory")}, "1", "/docker-sd-a",
			Tree{CPU: "/c/cpuacct/docker-sd-a", Memory: "/c/memory/docker-sd-a"}, false},
		"version 2": {[]*mountinfo.Info{unified}, "2", "dockersd-a.slice",
			Tree{V2: true, CPU: "/c/unified/dockersd.slice/dockersd-a.slice", Memory: "/c/unified/dockersd.slice/dockersd-a.slice"}, false},
		"not all": {[]*mountinfo.Info{one("cpu", "cpu"), one("memory", "memory")}, "1", "/docker-sd-a", Tree{}, true},
		"other":   {[]*mountinfo.Info{one("cpuacct", "cpuacct"), one("memory", "memory")}, "2", "/docker-sd-a", Tree{}, true},
	} {
		got, err := findTree(c.mounts, c.version, c.parent)
		if got != c.want || (err != nil) != c.fails || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

// TestTreeOfContainer: both drivers of an engine name a container's group in their own way.
func TestTreeOfContainer(t *testing.T) {
	for _, name := range []string{"0123", "docker-0123.scope"} {
		root := Tree{CPU: t.TempDir(), Memory: "/m"}
		for _, id := range []string{"0123", ""} {
			if got, found := root.Container(id); found {
				t.Errorf("container %q without a group has %+v", id, got)
			}
		}
		if err := os.Mkdir(filepath.Join(root.CPU, name), 0o700); err != nil {
			t.Fatal(err)
		}
		want := Tree{CPU: filepath.Join(root.CPU, name), Memory: "/m/" + name}
		if got, found := root.Container("0123"); !found || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, found, want)
		}
	}
}
