package inject

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"tags.cncf.io/container-device-interface/specs-go"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// nvidiaKind is the CDI kind of GPUs and MIG instances alike.
const nvidiaKind = "nvidia.com/gpu"

// nvidiaSpec reads the specification of NVIDIA's GPUs. It is errdefs.ErrNotFound if the host
// has none.
func nvidiaSpec(s cdi.Specs) (*specs.Spec, error) {
	spec, err := s.Find(nvidiaKind)
	if err == nil && spec == nil {
		err = fmt.Errorf("no CDI specification of kind %s in %s; make one with: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml: %w",
			nvidiaKind, strings.Join(s.Folders(), " or "), errdefs.ErrNotFound)
	}
	return spec, err
}

// gpuNode is the device node of one GPU.
var gpuNode = regexp.MustCompile(`^/dev/nvidia[0-9]+$`)

// device finds a device in a specification: by UUID where it has such names, or
// else by index, made sure of by the device node, because indexes change.
// The error is errdefs.ErrNotFound.
func device(spec *specs.Spec, d gpu.Device) (specs.Device, error) {
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
type cdiStrategy struct{ specs cdi.Specs }

// Name is StrategyCDI.
func (cdiStrategy) Name() string { return StrategyCDI }

// Sandbox gives a sandbox the devices by their CDI names, and the folders of the
// specifications, which the engine in it reads.
func (s cdiStrategy) Sandbox(devices []gpu.Device) (Edits, error) {
	in, err := s.Container(devices)
	if err != nil {
		return Edits{}, err
	}
	for _, dir := range s.specs.Folders() {
		if _, err := os.Stat(dir); err == nil {
			in.Mounts = append(in.Mounts, Mount{Source: dir, Target: dir, ReadOnly: true})
		}
	}
	return in, nil
}

// Container names the devices for the engine. The error is errdefs.ErrNotFound for a device
// that the specification does not have.
func (s cdiStrategy) Container(devices []gpu.Device) (Edits, error) {
	spec, err := nvidiaSpec(s.specs)
	if err != nil {
		return Edits{}, err
	}
	// The engine's own CDI support and NVIDIA's runtime must not both act.
	in := Void()
	for _, d := range devices {
		c, err := device(spec, d)
		if err != nil {
			return Edits{}, err
		}
		in.CDIDevices = append(in.CDIDevices, nvidiaKind+"="+c.Name)
	}
	return in, nil
}
