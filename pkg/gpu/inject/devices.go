package inject

import (
	"debug/elf"
	"path/filepath"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// deviceStrategy does itself what the specification says, so that neither the
// engine nor the sandbox need to know about GPUs: device nodes one by one, driver
// files as read-only mounts, and, in place of hooks, a mount for each name that a
// hook would make a link for.
type deviceStrategy struct{ specs cdi.Specs }

// Name is StrategyDevices.
func (deviceStrategy) Name() string { return StrategyDevices }

// Sandbox gives a sandbox the device nodes, and the driver's files at the paths that they
// have on the host.
func (s deviceStrategy) Sandbox(devices []gpu.Device) (Edits, error) {
	in, err := s.collect(devices)
	if err != nil {
		return Edits{}, err
	}
	// The containers' mounts start from here, so the files keep the host's paths.
	for i, m := range in.Mounts {
		in.Mounts[i].Target = m.Source
	}
	in.Mounts = union(nil, in.Mounts)
	in.LibraryPath = nil
	in.Env = []string{visibleDevices + "=void"}
	return in, nil
}

// Container gives a container the device nodes, and the driver's files where the
// specification wants them.
func (s deviceStrategy) Container(devices []gpu.Device) (Edits, error) {
	in, err := s.collect(devices)
	if err != nil {
		return Edits{}, err
	}
	in.Mounts = append(in.Mounts, s.sonames(in)...)
	// Void keeps NVIDIA's runtime off if it is the sandbox's default runtime.
	in.Env = append(slices.DeleteFunc(in.Env, func(e string) bool { return strings.HasPrefix(e, visibleDevices+"=") }), visibleDevices+"=void")
	return in, nil
}

// collect is what the specification says for all and for these devices.
func (s deviceStrategy) collect(devices []gpu.Device) (Edits, error) {
	spec, err := nvidiaSpec(s.specs)
	if err != nil {
		return Edits{}, err
	}
	in := editsOf(spec.ContainerEdits)
	for _, d := range devices {
		c, err := device(spec, d)
		if err != nil {
			return Edits{}, err
		}
		in = in.merge(editsOf(c.ContainerEdits))
	}
	in.Mounts = append(in.Mounts, links(spec.ContainerEdits, in.Mounts)...)
	return in, nil
}

// editsOf are the edits of a specification, without the links that its hooks make.
func editsOf(e specs.ContainerEdits) Edits {
	in := Edits{Env: slices.Clone(e.Env)}
	for _, n := range e.DeviceNodes {
		permissions := n.Permissions
		if permissions == "" {
			permissions = "rw"
		}
		in.Devices = append(in.Devices, DeviceNode{Path: n.Path, Permissions: permissions})
	}
	for _, m := range e.Mounts {
		in.Mounts = append(in.Mounts, Mount{Source: m.HostPath, Target: m.ContainerPath, ReadOnly: true})
	}
	in.LibraryPath = cdi.HookArguments(e, "update-ldcache", "--folder")
	return in
}

// links makes a mount for every link of the hook create-symlinks whose target is
// one of the mounted files.
func links(e specs.ContainerEdits, mounts []Mount) []Mount {
	var more []Mount
	for _, l := range cdi.HookArguments(e, "create-symlinks", "--link") {
		target, link, ok := strings.Cut(l, "::")
		if !ok {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		for _, m := range slices.Concat(mounts, more) {
			if m.Target == target {
				more = append(more, Mount{Source: m.Source, Target: link, ReadOnly: true})
				break
			}
		}
	}
	return more
}

// sonames stands in for ldconfig, which links a library's soname (libcuda.so.1)
// to its file (libcuda.so.550.54.14). What cannot be read is no library.
func (s deviceStrategy) sonames(in Edits) []Mount {
	taken := make(map[string]bool)
	for _, m := range in.Mounts {
		taken[m.Target] = true
	}
	var more []Mount
	for _, m := range in.Mounts {
		if !strings.Contains(filepath.Base(m.Source), ".so") {
			continue
		}
		name := soname(filepath.Join("/", s.specs.Root, m.Source))
		target := filepath.Join(filepath.Dir(m.Target), name)
		if name == "" || taken[target] {
			continue
		}
		taken[target] = true
		more = append(more, Mount{Source: m.Source, Target: target, ReadOnly: true})
	}
	return more
}

// soname reads the name under which programs look for a library (DT_SONAME); "" for a file
// that is none, or that names a path.
func soname(path string) string {
	file, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	names, err := file.DynString(elf.DT_SONAME)
	if err != nil || len(names) == 0 || names[0] != filepath.Base(names[0]) {
		return ""
	}
	return names[0]
}
