package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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
			"the engine in a sandbox does not know %s: containers of such pods wait", strings.Join(missing, ", "))
	}
	return ok(name, "the engine in a sandbox knows %s", strings.Join(fine, ", "))
}
