package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"sigs.k8s.io/yaml"
)

// maxFileBytes keeps a wrong path, such as a device or a log, from filling memory.
const maxFileBytes = 1 << 20

// Load reads the configuration file at path, applies the environment over it
// and validates the result. Absent, null and empty values keep their default.
// Keys are matched without regard to case. Each unknown key gives one warning, since
// the file is often shared with the interLink API (protocol 7.1); warnings are sorted. An
// error is one line that names the key, the value and what is allowed, and
// is an errdefs invalid argument; a missing file is fs.ErrNotExist as well.
func Load(path string, getenv func(string) string) (cfg Config, warnings []string, err error) {
	data, err := read(path)
	if err != nil {
		return Config{}, nil, err
	}
	return parse(path, data, getenv)
}

func parse(path string, data []byte, getenv func(string) string) (cfg Config, warnings []string, err error) {
	cfg = Default()
	d := &decoder{}
	if err := d.document(data, cfg.settings()); err != nil {
		return Config{}, nil, fmt.Errorf("configuration file %q: %w", path, err)
	}
	if err := d.environment(cfg.settings(), getenv); err != nil {
		return Config{}, nil, fmt.Errorf("environment variable %w", err)
	}
	cfg.clean()
	if err := cfg.Validate(); err != nil {
		return Config{}, nil, fmt.Errorf("configuration of %q and the environment: %w", path, err)
	}
	slices.Sort(d.warnings)
	return cfg, d.warnings, nil
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration file %q does not exist: name another one with "+
			"-interlinkconfigpath or %s, or create it: %w (%w)",
			path, PathVariable, fs.ErrNotExist, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("configuration file %q is larger than %d bytes: %w", path, maxFileBytes, errdefs.ErrInvalidArgument)
	}
	return data, nil
}

// unreadable drops the path from err, which os writes unquoted.
func unreadable(path string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Errorf("configuration file %q cannot be read: %w (%w)", path, err, errdefs.ErrInvalidArgument)
}

// document applies a YAML document. The strict reader refuses a key given
// twice, where it is open which value is meant.
func (d *decoder) document(data []byte, settings []setting) error {
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return fmt.Errorf("broken YAML: %s: %w", yamlMessage(err), errdefs.ErrInvalidArgument)
	}
	if string(raw) == "null" {
		return nil
	}
	if raw[0] != '{' {
		return fmt.Errorf("broken YAML: the file must be a list of lines KEY: VALUE: %w", errdefs.ErrInvalidArgument)
	}
	return d.object("", raw, settings)
}

// repeatedByYAML matches the places where the YAML reader repeats what the file says.
var repeatedByYAML = regexp.MustCompile("'.*'|`.*`|[:,] key: .*|map key: .*")

// yamlMessage makes one line of a YAML error and leaves out values, which
// may be secrets of another component's part of the file.
func yamlMessage(err error) string {
	line := strings.Join(strings.Fields(err.Error()), " ")
	line = repeatedByYAML.ReplaceAllString(line, " (value not shown)")
	return strings.ReplaceAll(line, "  ", " ")
}

// clean brings paths and prefixes into the form that the rest of docker-sd compares and joins.
func (c *Config) clean() {
	c.DataRootFolder = absolute(c.DataRootFolder)
	for _, path := range []*string{&c.FPGA.ToolsPath, &c.FPGA.VitisPath, &c.FPGA.XRTPath} {
		*path = filepath.Clean(*path)
	}
	for _, path := range []*string{&c.GPU.LibraryPath, &c.GPU.Sharing.MPSPipeDirectory, &c.GPU.Sharing.MPSShmDirectory} {
		*path = cleanPath(*path)
	}
	for _, path := range append(c.Access.files(), c.InterlinkAPI.files()...) {
		if *path != "" {
			*path = absolute(*path)
		}
	}
	if c.ClusterNetwork.CAFile != "" {
		c.ClusterNetwork.CAFile = absolute(c.ClusterNetwork.CAFile)
	}
	for i, path := range c.GPU.CDISpecDirs {
		c.GPU.CDISpecDirs[i] = cleanPath(path)
	}
	for i, path := range c.HostPathPrefixes {
		c.HostPathPrefixes[i] = cleanPath(path)
	}
	for claim, path := range c.PersistentVolumeClaims {
		c.PersistentVolumeClaims[claim] = cleanPath(path)
	}
	c.Storage.Root = cleanPath(c.Storage.Root)
	for i, prefix := range c.DockerNetworkSubnet {
		c.DockerNetworkSubnet[i] = prefix.Masked()
	}
	for i := range c.PingTaints {
		if c.PingTaints[i].Effect == "" {
			// The VK reads an unknown effect as NoSchedule too (protocol 2.4).
			c.PingTaints[i].Effect = "NoSchedule"
		}
	}
}

// cleanPath leaves an empty path empty, so that Validate refuses it, instead of making it ".".
func cleanPath(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Clean(path)
}
