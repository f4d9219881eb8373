// Package cgroup bounds all sandboxes of one docker-sd together, by a control group
// of the host's that their engine puts them below.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Names of the engine's cgroup drivers, as it reports them.
const (
	DriverCgroupfs = "cgroupfs"
	DriverSystemd  = "systemd"
)

// ParentOf names the group of an instance's sandboxes as the engine's driver takes
// it, or nothing for a driver without groups. The name of a slice has no dash that
// would make it a child of docker.slice; all instances are children of
// dockersd.slice, which the package bounds.
func ParentOf(driver, instance string) string {
	switch driver {
	case DriverCgroupfs:
		return "/docker-sd-" + instance
	case DriverSystemd:
		// An instance is a DNS label and has no underscore of its own.
		return "dockersd-" + strings.ReplaceAll(instance, "-", "_") + ".slice"
	}
	return ""
}

// Bounds of a group and all below it; zero is none.
type Bounds struct {
	MemoryBytes, Pids int64
	// CPUs that the group weighs as much as, as the pods of a kubelet do: without that
	// all sandboxes together weigh what one process of the host does.
	CPUs int
}

// Group is a control group at its places in the host's file system.
type Group struct {
	parent string
	// v2 says that one place has all controllers.
	v2 bool
	// memory, pids and cpu are its folders by controller, "" where the host has none.
	memory, pids, cpu string
	// all are its folders in every hierarchy.
	all []string
}

// Find looks where a parent's folders are or will be. version is the engine's.
func Find(version, parent string) (*Group, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("look for the control groups of the host: %w", err)
	}
	return find(mounts, version, parent)
}

func find(mounts []*mountinfo.Info, version, parent string) (*Group, error) {
	g := &Group{parent: parent, v2: version == "2"}
	for _, m := range wholes(mounts) {
		dir := filepath.Join(m.Mountpoint, pathOf(parent))
		if m.FSType == "cgroup2" && g.v2 && g.memory == "" {
			g.memory, g.pids, g.cpu = dir, dir, dir
		}
		if m.FSType == "cgroup" && !g.v2 {
			options := strings.Split(m.VFSOptions, ",")
			for controller, at := range map[string]*string{"memory": &g.memory, "pids": &g.pids, "cpu": &g.cpu} {
				if *at == "" && slices.Contains(options, controller) {
					*at = dir
				}
			}
		}
		g.all = append(g.all, dir)
	}
	if g.memory == "" || g.pids == "" || g.cpu == "" {
		return g, fmt.Errorf("the control groups of the host for memory, pids and cpu (version %s) are not all mounted here: %w", version, fs.ErrNotExist)
	}
	return g, nil
}

// wholes are the mounts of whole hierarchies. A docker-sd in a container with control
// groups of its own sees the host's as what is above them, and its own as whole:
// where there are the former, they are the ones.
func wholes(mounts []*mountinfo.Info) []*mountinfo.Info {
	above := slices.DeleteFunc(slices.Clone(mounts), func(m *mountinfo.Info) bool {
		return m.Root == "/" || strings.Trim(m.Root, "/.") != ""
	})
	if len(above) > 0 {
		return above
	}
	return slices.DeleteFunc(slices.Clone(mounts), func(m *mountinfo.Info) bool { return m.Root != "/" })
}

// pathOf a parent below the root of a hierarchy. A slice is in the slices that the
// dashes of its name part it from.
func pathOf(parent string) string {
	name, slice := strings.CutSuffix(parent, ".slice")
	if !slice {
		return parent
	}
	var path, prefix string
	for part := range strings.SplitSeq(name, "-") {
		prefix += part
		path = filepath.Join(path, prefix+".slice")
		prefix += "-"
	}
	return path
}

// Bound makes the group, if need be, and sees that it has its bounds; it tells
// whether one was not there. Systemd may take back what others have written below
// its slices, so it is called again now and then.
func (g *Group) Bound(b Bounds) (changed bool, err error) {
	for _, dir := range []string{g.memory, g.pids, g.cpu} {
		if g.v2 {
			g.giveControllers(dir)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, fmt.Errorf("make the control group of all sandboxes: %w", err)
		}
	}
	var problems []error
	for _, set := range []func(Bounds) (bool, error){g.setMemory, g.setPids, g.setCPU} {
		c, err := set(b)
		changed, problems = changed || c, append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return changed, fmt.Errorf("bound the control group of all sandboxes: %w", err)
	}
	return changed, nil
}

// giveControllers lets a new group of version 2 have them. One that cannot be given
// shows in the bound that cannot be set.
func (g *Group) giveControllers(dir string) {
	above := filepath.Dir(dir)
	for range strings.Count(strings.Trim(pathOf(g.parent), "/"), "/") {
		above = filepath.Dir(above)
	}
	for ; above != dir; above = filepath.Join(above, first(dir, above)) {
		_ = os.Mkdir(above, 0o755)
		for _, controller := range []string{"+memory", "+pids", "+cpu"} {
			_ = write(filepath.Join(above, "cgroup.subtree_control"), controller)
		}
	}
}

// first is the part of a path that follows the one above it.
func first(path, above string) string {
	rest, _ := filepath.Rel(above, path) // both are absolute
	part, _, _ := strings.Cut(rest, "/")
	return part
}

func (g *Group) setMemory(b Bounds) (bool, error) {
	if b.MemoryBytes <= 0 {
		return false, nil
	}
	page := int64(os.Getpagesize())
	want := b.MemoryBytes / page * page // as the kernel rounds it
	if g.v2 {
		return set(filepath.Join(g.memory, "memory.max"), want)
	}
	limit, both := filepath.Join(g.memory, "memory.limit_in_bytes"), filepath.Join(g.memory, "memory.memsw.limit_in_bytes")
	now, err := read(both)
	if errors.Is(err, fs.ErrNotExist) {
		return set(limit, want) // the kernel does not account for swap
	}
	if err != nil {
		return false, err
	}
	// Memory alone may never have more than memory and swap together.
	order := []string{limit, both}
	if want > now {
		order = []string{both, limit}
	}
	changed := false
	for _, path := range order {
		c, err := set(path, want)
		if err != nil {
			return changed, err
		}
		changed = changed || c
	}
	return changed, nil
}

func (g *Group) setPids(b Bounds) (bool, error) {
	if b.Pids <= 0 {
		return false, nil
	}
	return set(filepath.Join(g.pids, "pids.max"), b.Pids)
}

// setCPU sets a weight: from 2 to 262144 in version 1, where a CPU is 1024; the same
// on a scale from 1 to 10000 in version 2.
func (g *Group) setCPU(b Bounds) (bool, error) {
	if b.CPUs <= 0 {
		return false, nil
	}
	shares := min(int64(b.CPUs)*1024, 262144)
	if g.v2 {
		return set(filepath.Join(g.cpu, "cpu.weight"), 1+(shares-2)*9999/262142)
	}
	return set(filepath.Join(g.cpu, "cpu.shares"), shares)
}

// Holds tells whether a container of the engine is in the group as it is seen from
// here. One that is not was put into another tree: docker-sd is in a container that
// does not see the host's control groups, or the engine is on another host.
func (g *Group) Holds(containerID string) bool {
	for _, name := range []string{containerID, "docker-" + containerID + ".scope"} {
		if _, err := os.Stat(filepath.Join(g.memory, name)); err == nil {
			return true
		}
	}
	return false
}

// Remove removes the group where nothing is in it, with the empty groups below it that
// an engine leaves which was killed; one in use stays, and that is no error. No sandbox
// may be in the making.
func (g *Group) Remove() error {
	var problems []error
	for _, dir := range g.all {
		problems = append(problems, removeEmpty(dir))
	}
	return errors.Join(problems...)
}

func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	problems := []error{err}
	for _, entry := range entries {
		if entry.IsDir() {
			problems = append(problems, removeEmpty(filepath.Join(dir, entry.Name())))
		}
	}
	err = unix.Rmdir(dir)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
		problems = append(problems, &fs.PathError{Op: "remove", Path: dir, Err: err})
	}
	return errors.Join(problems...)
}

// Name of the group as the engine takes it.
func (g *Group) Name() string { return g.parent }

// set writes a number where another one is, and reads it back: a kernel takes some
// that it does not keep.
func set(path string, want int64) (changed bool, err error) {
	now, err := read(path)
	if err != nil || now == want {
		return false, err
	}
	if err := write(path, strconv.FormatInt(want, 10)); err != nil {
		return false, err
	}
	if now, err = read(path); err == nil && now != want {
		err = fmt.Errorf("%s is %d after %d was written", path, now, want)
	}
	return true, err
}

// none is more than any bound, for the word of version 2 and of pids.
const none = 1<<63 - 1

func read(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return none, nil
	}
	number, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s has no number: %w", path, err)
	}
	return number, nil
}

// write does not make a file: a controller that is off has none.
func write(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
