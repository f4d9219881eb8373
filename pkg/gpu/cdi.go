package gpu

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "tags.cncf.io/container-device-interface/specs-go"
)

var gpuNode = regexp.MustCompile(`^/dev/nvidia[0-9]+$`)

// device finds a device in a specification: by UUID where it has such names, or
// else by index, made sure of by the device node, because indexes change.
func device(spec specs.Spec, d Device) (specs.Device, error) {
	for _, c := range spec.Devices {
		if c.Name == d.UUID {
			return c, nil
		}
	}
	for _, c := range spec.Devices {
		var nodes []string
		for _, n := range c.ContainerEdits.DeviceNodes {
			if gpuNode.MatchString(n.Path) {
				nodes = append(nodes, n.Path)
			}
		}
		// With MIG several devices have the GPU's node, so only UUIDs can tell.
		if c.Name != "all" && !d.IsMIG() && len(nodes) > 0 && slices.Equal(nodes, d.Nodes) && !strings.Contains(c.Name, ":") {
			return c, nil
		}
	}
	return specs.Device{}, fmt.Errorf("the CDI specification of %s does not have %s; make it anew with: nvidia-ctk cdi generate --device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml: %w",
		nvidiaKind, d.UUID, errdefs.ErrNotFound)
}

// cdiStrategy leaves it to the engine's CDI support, outside and inside.
type cdiStrategy struct{ specs CDISpecs }

// Name is StrategyCDI.
func (cdiStrategy) Name() string { return StrategyCDI }

// Sandbox gives a sandbox the devices by their CDI names, and the folders of the
// specifications, which the engine in it reads.
func (s cdiStrategy) Sandbox(devices []Device) (Injection, error) {
	in, err := s.Container(devices)
	if err != nil {
		return Injection{}, err
	}
	for _, dir := range s.specs.dirs() {
		if _, err := os.Stat(dir); err == nil {
			in.Mounts = append(in.Mounts, Mount{Source: dir, Target: dir, ReadOnly: true})
		}
	}
	return in, nil
}

// Container names the devices for the engine. The error is errdefs.ErrNotFound for a device
// that the specification does not have.
func (s cdiStrategy) Container(devices []Device) (Injection, error) {
	spec, err := s.specs.load()
	if err != nil {
		return Injection{}, err
	}
	// The engine's own CDI support and NVIDIA's runtime must not both act.
	in := Void()
	for _, d := range devices {
		c, err := device(spec, d)
		if err != nil {
			return Injection{}, err
		}
		in.CDIDevices = append(in.CDIDevices, nvidiaKind+"="+c.Name)
	}
	return in, nil
}

// deviceStrategy does itself what the specification says, so that neither the
// engine nor the sandbox need to know about GPUs: device nodes one by one, driver
// files as read-only mounts, and, in place of hooks, a mount for each name that a
// hook would make a link for.
type deviceStrategy struct{ specs CDISpecs }

// Name is StrategyDevices.
func (deviceStrategy) Name() string { return StrategyDevices }

// Sandbox gives a sandbox the device nodes, and the driver's files at the paths that they
// have on the host.
func (s deviceStrategy) Sandbox(devices []Device) (Injection, error) {
	in, err := s.edits(devices)
	if err != nil {
		return Injection{}, err
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
func (s deviceStrategy) Container(devices []Device) (Injection, error) {
	in, err := s.edits(devices)
	if err != nil {
		return Injection{}, err
	}
	in.Mounts = append(in.Mounts, s.sonames(in)...)
	// Void keeps NVIDIA's runtime off if it is the sandbox's default runtime.
	in.Env = append(slices.DeleteFunc(in.Env, func(e string) bool { return strings.HasPrefix(e, visibleDevices+"=") }), visibleDevices+"=void")
	return in, nil
}

// edits collects what the specification says for all and for these devices.
func (s deviceStrategy) edits(devices []Device) (Injection, error) {
	spec, err := s.specs.load()
	if err != nil {
		return Injection{}, err
	}
	in := injection(spec.ContainerEdits)
	for _, d := range devices {
		c, err := device(spec, d)
		if err != nil {
			return Injection{}, err
		}
		in = in.merge(injection(c.ContainerEdits))
	}
	in.Mounts = append(in.Mounts, links(spec.ContainerEdits, in.Mounts)...)
	return in, nil
}

// injection is what edits of a specification ask for, but for the links that hooks make.
func injection(e specs.ContainerEdits) Injection {
	in := Injection{Env: slices.Clone(e.Env)}
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
	in.LibraryPath = arguments(e, "update-ldcache", "--folder")
	return in
}

// links makes a mount for every link of the hook create-symlinks whose target is
// one of the mounted files.
func links(e specs.ContainerEdits, mounts []Mount) []Mount {
	var more []Mount
	for _, l := range arguments(e, "create-symlinks", "--link") {
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

// arguments lists the values of an option of a hook, given as two arguments or
// as one with an equals sign.
func arguments(e specs.ContainerEdits, hook, option string) []string {
	var values []string
	for _, h := range e.Hooks {
		if !slices.Contains(h.Args, hook) {
			continue
		}
		for i, a := range h.Args {
			if a == option && i+1 < len(h.Args) {
				values = append(values, h.Args[i+1])
			} else if v, ok := strings.CutPrefix(a, option+"="); ok {
				values = append(values, v)
			}
		}
	}
	return values
}

// sonames stands in for ldconfig, which links a library's soname (libcuda.so.1)
// to its file (libcuda.so.550.54.14). What cannot be read is no library.
func (s deviceStrategy) sonames(in Injection) []Mount {
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

func uuidList(devices []Device) string {
	uuids := make([]string, 0, len(devices))
	for _, d := range devices {
		uuids = append(uuids, d.UUID)
	}
	return strings.Join(uuids, ",")
}
