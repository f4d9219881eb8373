package gpu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"sigs.k8s.io/yaml"
	specs "tags.cncf.io/container-device-interface/specs-go"
)

// CDISpecs finds the host's CDI specifications for NVIDIA devices.
type CDISpecs struct {
	// Dirs are searched in order; empty for /etc/cdi and /var/run/cdi, the standard
	// folders. The same kind in a later folder wins, as the CDI standard says.
	Dirs []string
	// Root is put before host paths when a library file has to be read, for a
	// docker-sd that sees the host's files under a folder. Empty for /.
	Root string
}

func (s CDISpecs) dirs() []string {
	if len(s.Dirs) == 0 {
		return []string{"/etc/cdi", "/var/run/cdi"}
	}
	return s.Dirs
}

// nvidiaKind is the CDI kind of GPUs and MIG instances alike.
const nvidiaKind = "nvidia.com/gpu"

// load reads the specification of NVIDIA's GPUs.
func (s CDISpecs) load() (specs.Spec, error) {
	var found *specs.Spec
	for _, dir := range s.dirs() {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return specs.Spec{}, fmt.Errorf("reading CDI specifications: %w", err)
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext != ".json" && ext != ".yaml" {
				continue
			}
			spec, err := readSpec(filepath.Join(dir, e.Name()))
			if err != nil {
				return specs.Spec{}, err
			}
			if spec.Kind == nvidiaKind {
				found = &spec
			}
		}
	}
	if found == nil {
		return specs.Spec{}, fmt.Errorf("no CDI specification of kind %s in %s; make one with: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml: %w",
			nvidiaKind, strings.Join(s.dirs(), " or "), errdefs.ErrNotFound)
	}
	return *found, nil
}

func readSpec(path string) (specs.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return specs.Spec{}, fmt.Errorf("reading a CDI specification: %w", err)
	}
	return decodeSpec(path, data)
}

// decodeSpec reads a specification in YAML or JSON; path is for the error.
func decodeSpec(path string, data []byte) (specs.Spec, error) {
	var spec specs.Spec
	if err := yaml.Unmarshal(data, &spec); err != nil {
		return specs.Spec{}, fmt.Errorf("reading the CDI specification %s: %w", path, err)
	}
	withoutNulls(&spec.ContainerEdits)
	for i := range spec.Devices {
		withoutNulls(&spec.Devices[i].ContainerEdits)
	}
	return spec, nil
}

// withoutNulls leaves out the items of lists that are null, which say nothing.
func withoutNulls(e *specs.ContainerEdits) {
	e.DeviceNodes = slices.DeleteFunc(e.DeviceNodes, func(n *specs.DeviceNode) bool { return n == nil })
	e.Mounts = slices.DeleteFunc(e.Mounts, func(m *specs.Mount) bool { return m == nil })
	e.Hooks = slices.DeleteFunc(e.Hooks, func(h *specs.Hook) bool { return h == nil })
}
