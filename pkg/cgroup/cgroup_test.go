package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
)

func TestParentOf(t *testing.T) {
	for _, c := range []struct{ driver, instance, want, path string }{
		{"cgroupfs", "docker-sd", "/docker-sd-docker-sd", "/docker-sd-docker-sd"},
		{"cgroupfs", "b", "/docker-sd-b", "/docker-sd-b"},
		{"systemd", "docker-sd", "dockersd-docker_sd.slice", "dockersd.slice/dockersd-docker_sd.slice"},
		{"systemd", "b", "dockersd-b.slice", "dockersd.slice/dockersd-b.slice"},
		{"none", "b", "", ""},
		{"", "b", "", ""},
	} {
		got := ParentOf(c.driver, c.instance)
		if got != c.want || got != "" && pathOf(got) != c.path {
			t.Errorf("%s of %s is %q at %q, want %q at %q", c.driver, c.instance, got, pathOf(got), c.want, c.path)
		}
		if strings.HasPrefix(got, "docker-") {
			t.Errorf("%s would be a child of docker.slice", got)
		}
	}
}

// TestFindInAContainer: the host's groups that are mounted into a container are
// taken, and not the container's own.
func TestFindInAContainer(t *testing.T) {
	own := &mountinfo.Info{FSType: "cgroup2", Root: "/", Mountpoint: "/own"}
	hosts := &mountinfo.Info{FSType: "cgroup2", Root: "/../..", Mountpoint: "/host"}
	for name, c := range map[string]struct {
		mounts []*mountinfo.Info
		want   string
	}{
		"own first":  {[]*mountinfo.Info{own, hosts}, "/host/docker-sd-a"},
		"own last":   {[]*mountinfo.Info{hosts, own}, "/host/docker-sd-a"},
		"not inside": {[]*mountinfo.Info{own}, "/own/docker-sd-a"},
	} {
		g, err := find(c.mounts, "2", "/docker-sd-a")
		if err != nil || g.memory != c.want || len(g.all) != 1 {
			t.Errorf("%s: %+v, %v, want %s", name, g, err, c.want)
		}
	}
}

// tree makes files with their content below a folder of the test's own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// content has the files below a root without the line ends.
func content(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		out[name] = strings.TrimSpace(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func versionOne(root string) []*mountinfo.Info {
	return []*mountinfo.Info{
		{FSType: "cgroup", Root: "/docker/x", Mountpoint: root + "/elsewhere", VFSOptions: "rw,memory"},
		{FSType: "cgroup", Root: "/", Mountpoint: root + "/memory", VFSOptions: "rw,memory"},
		{FSType: "cgroup", Root: "/", Mountpoint: root + "/cpu,cpuacct", VFSOptions: "rw,cpu,cpuacct"},
		{FSType: "cgroup", Root: "/", Mountpoint: root + "/pids", VFSOptions: "rw,pids"},
		{FSType: "cgroup", Root: "/", Mountpoint: root + "/freezer", VFSOptions: "rw,freezer"},
		{FSType: "cgroup2", Root: "/", Mountpoint: root + "/unified", VFSOptions: "rw"},
	}
}

func versionTwo(root string) []*mountinfo.Info {
	return []*mountinfo.Info{{FSType: "cgroup2", Root: "/", Mountpoint: root, VFSOptions: "rw,nsdelegate"}}
}

// TestBound has the files of both versions and of both drivers as a kernel makes
// them; what a kernel does with what is written is for tests with an engine.
func TestBound(t *testing.T) {
	want := Bounds{MemoryBytes: 10<<20 + 1, Pids: 700, CPUs: 4}
	const memory = "10485760"
	for name, c := range map[string]struct {
		version, parent string
		mounts          func(string) []*mountinfo.Info
		before, after   map[string]string
	}{
		"version 1": {"1", "/docker-sd-a", versionOne,
			map[string]string{"memory/docker-sd-a/memory.limit_in_bytes": "9223372036854771712", "memory/docker-sd-a/memory.memsw.limit_in_bytes": "9223372036854771712",
				"pids/docker-sd-a/pids.max": "max", "cpu,cpuacct/docker-sd-a/cpu.shares": "1024"},
			map[string]string{"memory/docker-sd-a/memory.limit_in_bytes": memory, "memory/docker-sd-a/memory.memsw.limit_in_bytes": memory,
				"pids/docker-sd-a/pids.max": "700", "cpu,cpuacct/docker-sd-a/cpu.shares": "4096"}},
		"version 1 without an account of swap": {"1", "/docker-sd-a", versionOne,
			map[string]string{"memory/docker-sd-a/memory.limit_in_bytes": "4096", "pids/docker-sd-a/pids.max": "1", "cpu,cpuacct/docker-sd-a/cpu.shares": "2"},
			map[string]string{"memory/docker-sd-a/memory.limit_in_bytes": memory, "pids/docker-sd-a/pids.max": "700", "cpu,cpuacct/docker-sd-a/cpu.shares": "4096"}},
		"version 2": {"2", "/docker-sd-a", versionTwo,
			map[string]string{"cgroup.subtree_control": "cpuset", "docker-sd-a/memory.max": "max", "docker-sd-a/pids.max": "max", "docker-sd-a/cpu.weight": "100"},
			map[string]string{"cgroup.subtree_control": "+cpu", "docker-sd-a/memory.max": memory, "docker-sd-a/pids.max": "700", "docker-sd-a/cpu.weight": "157"}},
		"version 2 with slices": {"2", "dockersd-a.slice", versionTwo,
			map[string]string{"cgroup.subtree_control": "cpuset", "dockersd.slice/cgroup.subtree_control": "", "dockersd.slice/dockersd-a.slice/memory.max": "max",
				"dockersd.slice/dockersd-a.slice/pids.max": "max", "dockersd.slice/dockersd-a.slice/cpu.weight": "100"},
			map[string]string{"cgroup.subtree_control": "+cpu", "dockersd.slice/cgroup.subtree_control": "+cpu", "dockersd.slice/dockersd-a.slice/memory.max": memory,
				"dockersd.slice/dockersd-a.slice/pids.max": "700", "dockersd.slice/dockersd-a.slice/cpu.weight": "157"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, c.before)
			g, err := find(c.mounts(root), c.version, c.parent)
			if err != nil {
				t.Fatal(err)
			}
			if changed, err := g.Bound(want); !changed || err != nil {
				t.Errorf("Bound() = %v, %v", changed, err)
			}
			if diff := cmp.Diff(c.after, content(t, root)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if changed, err := g.Bound(want); changed || err != nil {
				t.Errorf("Bound() again = %v, %v", changed, err)
			}
			if changed, err := g.Bound(Bounds{Pids: 900}); !changed || err != nil {
				t.Errorf("Bound() with another number = %v, %v", changed, err)
			}
		})
	}
}

// TestBoundFails: a controller that is off, or a host whose groups are not here, is
// an error and not silence.
func TestBoundFails(t *testing.T) {
	root := tree(t, map[string]string{"docker-sd-a/memory.max": "max", "docker-sd-a/cpu.weight": "100"})
	g, err := find(versionTwo(root), "2", "/docker-sd-a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Bound(Bounds{MemoryBytes: 1 << 20, Pids: 1, CPUs: 1}); err == nil || !strings.Contains(err.Error(), "pids.max") {
		t.Errorf("Bound() without the controller pids = %v", err)
	}
	for name, mounts := range map[string][]*mountinfo.Info{"none": nil, "parts": {{FSType: "cgroup2", Root: "/system.slice", Mountpoint: root}}, "memory only": versionOne(root)[:2]} {
		if _, err := find(mounts, "1", "/docker-sd-a"); err == nil {
			t.Errorf("%s: the host's groups were found", name)
		}
	}
}

func TestHoldsAndRemove(t *testing.T) {
	root := tree(t, map[string]string{"docker-sd-a/one/memory.max": "max", "docker-sd-a/docker-two.scope/memory.max": "max"})
	g, err := find(versionTwo(root), "2", "/docker-sd-a")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"one": true, "two": true, "three": false} {
		if got := g.Holds(id); got != want {
			t.Errorf("Holds(%s) = %v", id, got)
		}
	}
	if err := g.Remove(); err != nil {
		t.Errorf("Remove() of one in use = %v", err)
	}
	if !g.Holds("one") {
		t.Error("one in use was removed")
	}
	if err := os.RemoveAll(filepath.Join(root, "docker-sd-a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "docker-sd-a"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.Remove(); err != nil {
			t.Errorf("Remove() = %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "docker-sd-a")); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
