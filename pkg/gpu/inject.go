package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
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

// Injection is what makes devices usable in a container, in no engine's terms.
type Injection struct {
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

// merge adds another injection; the same node or mount is given once.
func (in Injection) merge(other Injection) Injection {
	in.Env = union(in.Env, other.Env)
	in.Devices = union(in.Devices, other.Devices)
	in.Mounts = union(in.Mounts, other.Mounts)
	in.LibraryPath = union(in.LibraryPath, other.LibraryPath)
	in.CDIDevices = union(in.CDIDevices, other.CDIDevices)
	if other.Runtime != "" {
		in.Runtime = other.Runtime
	}
	return in
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

const visibleDevices = "NVIDIA_VISIBLE_DEVICES"

// Void is for containers that asked for no GPU: NVIDIA's runtime gives them
// nothing, whatever their image says.
func Void() Injection { return Injection{Env: []string{visibleDevices + "=void"}} }

// Strategy is a way in which NVIDIA devices get into containers. The container
// runs in a sandbox, which has to be given everything when it is started.
type Strategy interface {
	// Name is what the configuration calls it.
	Name() string
	// Sandbox is what a sandbox needs that can serve any of the devices.
	Sandbox(devices []Device) (Injection, error)
	// Container is what a container needs for exactly these devices, at least one.
	Container(devices []Device) (Injection, error)
}

// The names of the strategies.
const (
	StrategyAuto    = "auto"
	StrategyDevices = "devices"
	StrategyCDI     = "cdi"
	StrategyRuntime = "nvidia-runtime"
)

// Strategies returns the candidates for a configured name, the best first. The
// own device list is first because it works with every engine and needs nothing
// in the sandbox; the runtime is last because it sees a privileged sandbox's
// devices. An unknown name is errdefs.ErrInvalidArgument.
func Strategies(name string, specs CDISpecs) ([]Strategy, error) {
	all := []Strategy{deviceStrategy{specs}, cdiStrategy{specs}, runtimeStrategy{}}
	if name == StrategyAuto || name == "" {
		return all, nil
	}
	for _, s := range all {
		if s.Name() == name {
			return []Strategy{s}, nil
		}
	}
	return nil, fmt.Errorf("unknown GPU strategy %q; use %s, %s, %s or %s: %w", name,
		StrategyAuto, StrategyDevices, StrategyCDI, StrategyRuntime, errdefs.ErrInvalidArgument)
}

// Settle returns the first strategy that works, as told by try, which runs a
// container in a warm sandbox. If none works the error has every reason and is
// errdefs.ErrFailedPrecondition.
func Settle(ctx context.Context, candidates []Strategy, try func(context.Context, Strategy) error) (Strategy, error) {
	var reasons []error
	for _, s := range candidates {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("choosing a GPU strategy: %w", err)
		}
		err := try(ctx, s)
		if err == nil {
			return s, nil
		}
		reasons = append(reasons, fmt.Errorf("strategy %s: %w", s.Name(), err))
	}
	return nil, fmt.Errorf("no way to give GPUs to containers works here: %w: %w", errdefs.ErrFailedPrecondition, errors.Join(reasons...))
}

// Injector puts devices of all vendors into containers: NVIDIA's by a strategy,
// those of other vendors by their device nodes.
type Injector struct {
	// NVIDIA may be nil on a host without NVIDIA devices; to give one out is then
	// errdefs.ErrFailedPrecondition.
	NVIDIA  Strategy
	Sharing Sharing
	MPS     MPSControl
	// FPGATools are folders that containers with an FPGA get read-only, at the same
	// path as on the host.
	FPGATools []string
}

// Container returns what a container needs for exactly these devices, which may
// be none.
func (i Injector) Container(devices []Device) (Injection, error) {
	in, nvidia, err := i.inject(devices, Strategy.Container)
	if err != nil || len(nvidia) == 0 || i.Sharing.Strategy != SharingMPS {
		return in, err
	}
	if replicas := i.Sharing.Replicas(nvidia[0].Resource); replicas > 1 {
		in = in.merge(i.MPS.inject(nvidia, replicas))
	}
	return in, nil
}

// Sandbox returns what a sandbox needs so that its containers can have any of
// the devices.
func (i Injector) Sandbox(devices []Device) (Injection, error) {
	in, nvidia, err := i.inject(devices, Strategy.Sandbox)
	if err != nil || len(nvidia) == 0 || i.Sharing.Strategy != SharingMPS {
		return in, err
	}
	in.Mounts = union(in.Mounts, []Mount{{Source: i.MPS.PipeDir, Target: i.MPS.PipeDir}, {Source: i.MPS.ShmDir, Target: i.MPS.ShmDir}})
	return in, nil
}

// inject gives NVIDIA's devices by a method of the strategy, the others by their
// nodes, and tells which are NVIDIA's.
func (i Injector) inject(devices []Device, by func(Strategy, []Device) (Injection, error)) (Injection, []Device, error) {
	nvidia, others := byVendor(devices)
	in := i.plain(others)
	if len(nvidia) == 0 {
		return in.merge(Void()), nil, nil
	}
	if i.NVIDIA == nil {
		return Injection{}, nil, errNoStrategy()
	}
	own, err := by(i.NVIDIA, nvidia)
	if err != nil {
		return Injection{}, nil, err
	}
	return in.merge(own), nvidia, nil
}

func errNoStrategy() error {
	return fmt.Errorf("no strategy for NVIDIA devices was settled, so none can be given to a container; set one of %s, %s or %s: %w",
		StrategyDevices, StrategyCDI, StrategyRuntime, errdefs.ErrFailedPrecondition)
}

// byVendor tells NVIDIA's devices from others. A GPU in MIG mode has no resource
// and is left out: its instances bring all that it has.
func byVendor(devices []Device) (nvidia, others []Device) {
	for _, d := range devices {
		switch d.Vendor() {
		case "nvidia.com":
			nvidia = append(nvidia, d)
		case "":
		default:
			others = append(others, d)
		}
	}
	return nvidia, others
}

// plain gives the devices' own nodes, and what belongs to their vendor.
func (i Injector) plain(devices []Device) Injection {
	var in Injection
	for _, d := range devices {
		if d.Resource == ResourceFPGA {
			for _, dir := range i.FPGATools {
				in.Mounts = union(in.Mounts, []Mount{{Source: dir, Target: dir, ReadOnly: true}})
			}
		}
		for _, path := range d.Nodes {
			in.Devices = union(in.Devices, []DeviceNode{{Path: path, Permissions: "rw"}})
		}
	}
	return in
}

// runtimeStrategy leaves it to the NVIDIA container runtime. It sets no driver
// capabilities: those of the image or the pod stay.
type runtimeStrategy struct{}

// Name is StrategyRuntime.
func (runtimeStrategy) Name() string { return StrategyRuntime }

// Sandbox gives a sandbox the runtime with all devices: the engine in it gives containers
// theirs.
func (runtimeStrategy) Sandbox([]Device) (Injection, error) {
	return Injection{Runtime: "nvidia", Env: []string{visibleDevices + "=all", "NVIDIA_DRIVER_CAPABILITIES=all"}}, nil
}

// Container names the devices for the runtime, by UUID.
func (runtimeStrategy) Container(devices []Device) (Injection, error) {
	return Injection{Runtime: "nvidia", Env: []string{visibleDevices + "=" + uuidList(devices)}}, nil
}
