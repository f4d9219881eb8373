package cgroup

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Tree is where the figures of a control group are read: the processor time and the
// memory of all that is in it and below it.
type Tree struct {
	// V2 says that the files are those of version 2, and that both folders are one.
	V2 bool
	// CPU and Memory are the folders of the group.
	CPU, Memory string
}

// FindTree looks where the figures of a parent, as ParentOf names it, are or will be.
// version is the engine's: on a host that has both, it says which one counts.
func FindTree(version, parent string) (Tree, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return Tree{}, fmt.Errorf("look for the control groups of the host: %w", err)
	}
	return findTree(mounts, version, parent)
}

func findTree(mounts []*mountinfo.Info, version, parent string) (Tree, error) {
	t := Tree{V2: version == "2"}
	for _, m := range wholes(mounts) {
		dir, controllers := filepath.Join(m.Mountpoint, pathOf(parent)), []string(nil)
		switch {
		case t.V2 && m.FSType == "cgroup2":
			controllers = []string{"cpuacct", "memory"}
		case !t.V2 && m.FSType == "cgroup":
			controllers = strings.Split(m.VFSOptions, ",")
		}
		if t.CPU == "" && slices.Contains(controllers, "cpuacct") {
			t.CPU = dir
		}
		if t.Memory == "" && slices.Contains(controllers, "memory") {
			t.Memory = dir
		}
	}
	if t.CPU == "" || t.Memory == "" {
		return Tree{}, fmt.Errorf("the control groups of the host for cpuacct and memory (version %s) are not mounted here: %w", version, fs.ErrNotExist)
	}
	return t, nil
}

// Below is the tree of a group at a path below this one.
func (t Tree) Below(path string) Tree {
	return Tree{V2: t.V2, CPU: filepath.Join(t.CPU, path), Memory: filepath.Join(t.Memory, path)}
}

// Container is the tree of an engine's container in this group, by its id; false says that
// it has none, since it does not run or is in another group.
func (t Tree) Container(id string) (Tree, bool) {
	for _, name := range []string{id, "docker-" + id + ".scope"} {
		if id == "" {
			break // that would be the group itself
		}
		below := t.Below(name)
		if _, err := os.Stat(below.CPU); err == nil {
			return below, true
		}
	}
	return Tree{}, false
}
