package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// EnterChild makes a group below the sandbox's own in each hierarchy and moves
// this process there. Moving back is not possible once it is the root of a namespace.
func EnterChild() error {
	found, err := hierarchies()
	if err != nil {
		return err
	}
	var problems []error
	for _, m := range found {
		if err := enterBelow(m); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(problems...)
}

// enterBelow makes the group below that of one hierarchy, and moves this process there.
func enterBelow(m *mountinfo.Info) error {
	// An engine mounts them read-only in a container without privileges.
	if err := unix.Mount("", m.Mountpoint, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("make it writable: %w", err)
	}
	child := filepath.Join(m.Mountpoint, initapi.ChildGroup)
	if err := os.Mkdir(child, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if m.FSType != "cgroup" {
			break
		}
		// Version 1 has a new group begin with neither.
		if value, err := os.ReadFile(filepath.Join(m.Mountpoint, file)); err == nil {
			_ = os.WriteFile(filepath.Join(child, file), value, 0) // the next line fails where it is needed
		}
	}
	if err := write(filepath.Join(child, "cgroup.procs"), "0"); err != nil {
		return err
	}
	if m.FSType == "cgroup2" {
		return delegate(m.Mountpoint)
	}
	return nil
}

// Remount mounts the hierarchies anew: what is mounted in a namespace of control
// groups shows no more than that.
func Remount() error {
	found, err := hierarchies()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(found) {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
		}
	}
	for _, m := range found {
		if err := unix.Mount("cgroup", m.Mountpoint, m.FSType, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, groupOptions(m)); err != nil {
			return fmt.Errorf("mount %s: %w", m.Mountpoint, err)
		}
		if m.FSType == "cgroup2" {
			if err := leaveRoot(m.Mountpoint); err != nil {
				return fmt.Errorf("%s: %w", m.Mountpoint, err)
			}
		}
	}
	return nil
}

// groupOptions name a hierarchy of version 1 by its controllers or its name.
func groupOptions(m *mountinfo.Info) string {
	if m.FSType == "cgroup2" {
		return ""
	}
	var out []string
	for option := range strings.SplitSeq(m.VFSOptions, ",") {
		switch {
		case option == "rw", option == "ro", strings.HasPrefix(option, "release_agent="):
		case strings.HasPrefix(option, "name="):
			out = append(out, "none", option)
		default:
			out = append(out, option)
		}
	}
	return strings.Join(out, ",")
}

// leaveRoot moves this process out of the namespace's root group, so that the root can
// give its controllers to the groups of containers.
func leaveRoot(root string) error {
	leaf := filepath.Join(root, initapi.LeafGroup)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := write(filepath.Join(leaf, "cgroup.procs"), "0"); err != nil {
		return err
	}
	return delegate(root)
}

// delegate gives the controllers of a group to those below it. One at a time: a kernel
// may refuse one, as that of processors while there are processes of real time, and
// gives none then. What a pod asks of the one that is missing fails with its name.
func delegate(group string) error {
	names, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var problems []error
	words := strings.Fields(string(names)) // none in the unified hierarchy beside those of version 1
	for _, name := range words {
		if err := write(filepath.Join(group, "cgroup.subtree_control"), "+"+name); err != nil {
			problems = append(problems, fmt.Errorf("give on the controller %s: %w", name, err))
		}
	}
	if len(problems) < len(words) {
		for _, err := range problems {
			fmt.Fprintln(os.Stderr, "docker-sd-init: control groups:", err)
		}
		return nil
	}
	return errors.Join(problems...)
}
