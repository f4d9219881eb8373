// Package cgroups is what the init does with the control groups of its sandbox: it moves
// the sandbox below the group that bounds it, makes the group of the pod's containers, and
// has the kernel end a container as a whole.
package cgroups

import (
	"errors"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// root is where control groups are mounted.
const root = "/sys/fs/cgroup"

// hierarchies lists the mounts of control groups.
func hierarchies() ([]*mountinfo.Info, error) {
	return mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "cgroup" && m.FSType != "cgroup2" || m.Mountpoint != root && !strings.HasPrefix(m.Mountpoint, root+"/"), false
	})
}

// write is one call to a file of the kernel's.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
