package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// shims is how names begin that containerd looks for by itself.
const shims = "io.containerd."

// Runtimes judges whether the engine in a sandbox knows the runtimes of the runtime classes,
// which are given by class. Those of containerd's shims are known when a container starts.
func Runtimes(classes map[string]string, known []string, err error) Line {
	const name = "runtimes"
	if err != nil {
		return warn(name, "see the lines about sandboxes", "the engine in a sandbox does not tell which runtimes it knows: %v", err)
	}
	var fine, missing []string
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		runtime := classes[class]
		found := fmt.Sprintf("%s for the class %s", runtime, class)
		switch {
		case slices.Contains(known, runtime):
			fine = append(fine, found)
		case strings.HasPrefix(runtime, shims):
			fine = append(fine, found+" (a shim, whose program is not looked for)")
		default:
			missing = append(missing, found)
		}
	}
	if len(missing) > 0 {
		return warn(name, "name a program of this host with path in RuntimeClasses, or use a sandbox image whose /etc/docker/daemon.json has the runtime",
			"the engine in a sandbox does not know, or has no program for, %s: containers of such pods wait", strings.Join(missing, ", "))
	}
	return ok(name, "the engine in a sandbox knows %s", strings.Join(fine, ", "))
}

// ClassImage judges the sandbox image of a runtime class by what the host's engine says of it.
func ClassImage(class, ref string, err error) Line {
	const name = "class image"
	switch {
	case errdefs.IsNotFound(err):
		return warn(name, "pull it (docker pull "+ref+"), or let sandboxImage be one that this host has",
			"the sandbox image %s of the class %s is not on this host; docker-sd tries to pull it for the first pod", ref, class)
	case err != nil:
		return warn(name, "see whether the engine is well", "the sandbox image %s of the class %s cannot be looked at: %v", ref, class, err)
	}
	return ok(name, "%s for the class %s", ref, class)
}
