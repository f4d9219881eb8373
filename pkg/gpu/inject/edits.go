package inject

import (
	"slices"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// DeviceNode is a device node that a container gets, at the same path.
type DeviceNode struct {
	Path string
	// Permissions are the cgroup's letters r, w and m.
	Permissions string
}

// Mount is a bind mount. Sources are paths of the sandbox for a container, and
// of the host for a sandbox; a sandbox has the host's files at the same paths.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Edits is what makes devices usable in a container, in no engine's terms. The word is
// CDI's.
type Edits struct {
	// Env wins over the variables of the image and of the pod.
	Env     []string
	Devices []DeviceNode
	Mounts  []Mount
	// LibraryPath lists folders to append to the container's LD_LIBRARY_PATH, after
	// what the image or the pod put there.
	LibraryPath []string
	// Runtime is the engine's runtime to use, empty for its default.
	Runtime string
	// CDIDevices are fully qualified CDI names, for example nvidia.com/gpu=GPU-8f....
	CDIDevices []string
}

// merge adds other edits; the same node or mount is given once.
func (e Edits) merge(other Edits) Edits {
	e.Env = union(e.Env, other.Env)
	e.Devices = union(e.Devices, other.Devices)
	e.Mounts = union(e.Mounts, other.Mounts)
	e.LibraryPath = union(e.LibraryPath, other.LibraryPath)
	e.CDIDevices = union(e.CDIDevices, other.CDIDevices)
	if other.Runtime != "" {
		e.Runtime = other.Runtime
	}
	return e
}

// union is a, and what of b is not in it.
func union[T comparable](a, b []T) []T {
	all := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

// visibleDevices is the variable by which NVIDIA's runtime learns what a container gets.
const visibleDevices = "NVIDIA_VISIBLE_DEVICES"

// Void is for containers that asked for no GPU: NVIDIA's runtime gives them
// nothing, whatever their image says.
func Void() Edits { return Edits{Env: []string{visibleDevices + "=void"}} }

// Apply puts the edits into the spec of a container. The image's variables are those that the
// container starts from.
func (e Edits) Apply(imageEnv []string, spec *engine.Spec) {
	spec.Env = override(spec.Env, e.Env...)
	if len(e.LibraryPath) > 0 {
		folders := e.LibraryPath
		if own := lookup("LD_LIBRARY_PATH", imageEnv, spec.Env); own != "" {
			folders = append([]string{own}, folders...)
		}
		spec.Env = override(spec.Env, "LD_LIBRARY_PATH="+strings.Join(folders, ":"))
	}
	spec.Devices = append(spec.Devices, e.EngineDevices()...)
	spec.Mounts = append(spec.Mounts, e.EngineMounts()...)
	if e.Runtime != "" {
		spec.Runtime = e.Runtime
	}
	spec.CDIDevices = append(spec.CDIDevices, e.CDIDevices...)
}

// override appends variables in place of those of the same name: which of two
// equal names counts is up to each runtime and program.
func override(env []string, variables ...string) []string {
	out := slices.Clone(env)
	for _, variable := range variables {
		name, _, _ := strings.Cut(variable, "=")
		out = append(slices.DeleteFunc(out, func(old string) bool { return strings.HasPrefix(old, name+"=") }), variable)
	}
	return out
}

// lookup returns a variable's value from lists of which later ones win.
func lookup(name string, lists ...[]string) string {
	value := ""
	for _, variable := range slices.Concat(lists...) {
		if v, found := strings.CutPrefix(variable, name+"="); found {
			value = v
		}
	}
	return value
}

// EngineDevices are the device nodes in the engine's terms.
func (e Edits) EngineDevices() []engine.Device {
	var list []engine.Device
	for _, d := range e.Devices {
		list = append(list, engine.Device{Host: d.Path, Container: d.Path, Permissions: d.Permissions})
	}
	return list
}

// EngineMounts are the mounts in the engine's terms.
func (e Edits) EngineMounts() []engine.Mount {
	var list []engine.Mount
	for _, m := range e.Mounts {
		list = append(list, engine.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return list
}
