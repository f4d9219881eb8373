// Package cdi finds and reads the host's specifications of the Container Device Interface
// (CDI), which say what containers need for a vendor's devices.
package cdi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
	specs "tags.cncf.io/container-device-interface/specs-go"
)

// Specs are the host's CDI specifications.
type Specs struct {
	// Dirs are searched in order; empty for /etc/cdi and /var/run/cdi, the standard
	// folders. The same kind in a later folder wins, as the CDI standard says.
	Dirs []string
	// Root is put before host paths when a library file has to be read, for a
	// docker-sd that sees the host's files under a folder. Empty for /.
	Root string
}

// Folders are the folders that are searched, in the order of the search.
func (s Specs) Folders() []string {
	if len(s.Dirs) == 0 {
		return []string{"/etc/cdi", "/var/run/cdi"}
	}
	return s.Dirs
}

// Find reads the specification of a kind, for example nvidia.com/gpu. It is nil if there is
// none. A folder that does not exist is empty; one that cannot be read, and a file with the
// name of a specification that is none, are errors.
func (s Specs) Find(kind string) (*specs.Spec, error) {
	var found *specs.Spec
	for _, dir := range s.Folders() {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading CDI specifications: %w", err)
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext != ".json" && ext != ".yaml" {
				continue
			}
			spec, err := read(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			if spec.Kind == kind {
				found = &spec
			}
		}
	}
	return found, nil
}

// read reads one specification.
func read(path string) (specs.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return specs.Spec{}, fmt.Errorf("reading a CDI specification: %w", err)
	}
	return decode(path, data)
}

// decode reads a specification in YAML or JSON; path is for the error.
func decode(path string, data []byte) (specs.Spec, error) {
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

// HookArguments lists the values of an option of a hook, given as two arguments or as one
// with an equals sign. The hook is a word of its command line, such as create-symlinks.
func HookArguments(e specs.ContainerEdits, hook, option string) []string {
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
