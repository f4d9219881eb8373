package mounts

import (
	"strings"

	"github.com/moby/sys/mountinfo"
)

// isMounted says whether a file system of a kind is mounted at a path. The kind is the
// beginning of the file system's type.
func isMounted(path, kind string) (bool, error) {
	found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		fits := m.Mountpoint == path && strings.HasPrefix(m.FSType, kind)
		return !fits, fits
	})
	return len(found) > 0, err
}

// isName says that a name is one step of a path.
func isName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
