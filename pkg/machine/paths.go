package machine

import (
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// CVMFS is where the CernVM file system is mounted on a host that has it.
const CVMFS = "/cvmfs"

// Outermost drops paths that are below another one.
func Outermost(paths []string) []string {
	slices.Sort(paths)
	var out []string
	for _, path := range slices.Compact(paths) {
		below := func(outer string) bool { return strings.HasPrefix(path, strings.TrimSuffix(outer, "/")+"/") }
		if !slices.ContainsFunc(out, below) {
			out = append(out, path)
		}
	}
	return out
}

// Propagation lets mounts that the host makes later below a path show in
// sandboxes, as those of /cvmfs do, where the host's own mount allows it.
func Propagation(path string) string {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil {
		return ""
	}
	innermost := &mountinfo.Info{}
	for _, m := range mounts {
		if len(m.Mountpoint) >= len(innermost.Mountpoint) {
			innermost = m
		}
	}
	if strings.Contains(innermost.Optional, "shared:") || strings.Contains(innermost.Optional, "master:") {
		return "rslave"
	}
	return ""
}
