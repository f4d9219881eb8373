package mounts

import (
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// mountedRoots returns the roots that lie in what was mounted into the sandbox: a path
// that the host did not have at its boot may be a folder of the sandbox's own image. Of
// several mounts it takes the outermost: the name of an inner one is in a folder that a
// pod may be able to change.
func mountedRoots(roots []initapi.Root) ([]initapi.Root, error) {
	points, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, err
	}
	var out []initapi.Root
	for i, root := range roots {
		for _, m := range points {
			if _, inside := below(m.Mountpoint, root.Path); inside && m.Mountpoint != "/" && (root.Mount == "" || len(m.Mountpoint) < len(root.Mount)) {
				root.Mount = m.Mountpoint
			}
		}
		switch {
		case root.Mount != "":
			out = append(out, root)
		case i == 0: // where the walk begins; from the others it is only led to
			return nil, &initapi.Error{Kind: initapi.KindMissing, Message: "lies below a path that was not on this node when the pod's sandbox was made"}
		}
	}
	return out, nil
}

// below returns the rest of a path that is a folder or lies below it.
func below(dir, name string) (rest string, ok bool) {
	if name == dir {
		return "", true
	}
	return strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
