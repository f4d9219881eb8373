package gpu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"sigs.k8s.io/yaml"
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

// These are the parts of a CDI specification that are acted on. The field names
// are those of the standard; unknown fields are ignored.
type (
	cdiSpec struct {
		Kind           string      `json:"kind"`
		Devices        []cdiDevice `json:"devices"`
		ContainerEdits cdiEdits    `json:"containerEdits"`
	}
	cdiDevice struct {
		Name           string   `json:"name"`
		ContainerEdits cdiEdits `json:"containerEdits"`
	}
	cdiEdits struct {
		Env         []string   `json:"env"`
		DeviceNodes []cdiNode  `json:"deviceNodes"`
		Mounts      []cdiMount `json:"mounts"`
		Hooks       []cdiHook  `json:"hooks"`
	}
	cdiNode struct {
		Path        string `json:"path"`
		Permissions string `json:"permissions"`
	}
	cdiMount struct {
		HostPath      string `json:"hostPath"`
		ContainerPath string `json:"containerPath"`
	}
	cdiHook struct {
		Args []string `json:"args"`
	}
)

// load reads the specification of NVIDIA's GPUs.
func (s CDISpecs) load() (cdiSpec, error) {
	var found *cdiSpec
	for _, dir := range s.dirs() {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return cdiSpec{}, fmt.Errorf("reading CDI specifications: %w", err)
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext != ".json" && ext != ".yaml" {
				continue
			}
			spec, err := readSpec(filepath.Join(dir, e.Name()))
			if err != nil {
				return cdiSpec{}, err
			}
			if spec.Kind == nvidiaKind {
				found = &spec
			}
		}
	}
	if found == nil {
		return cdiSpec{}, fmt.Errorf("no CDI specification of kind %s in %s; make one with: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml: %w",
			nvidiaKind, strings.Join(s.dirs(), " or "), errdefs.ErrNotFound)
	}
	return *found, nil
}

func readSpec(path string) (cdiSpec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return cdiSpec{}, fmt.Errorf("reading a CDI specification: %w", err)
	}
	return decodeSpec(path, data)
}

func decodeSpec(path string, data []byte) (cdiSpec, error) {
	var spec cdiSpec
	if err := yaml.Unmarshal(data, &spec); err != nil {
		return cdiSpec{}, fmt.Errorf("reading the CDI specification %s: %w", path, err)
	}
	return spec, nil
}
