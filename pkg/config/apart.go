package config

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
)

// Place is a file or folder of the host that no pod may reach.
type Place struct {
	// Path is absolute.
	Path string
	// What it is, such as "the Docker engine's socket".
	What string
}

// Places are those that are known without asking the engine, whose data root is
// another one.
func (c Config) Places() []Place {
	var out []Place
	host := c.DockerHost
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	if path, err := socketPath("DOCKER_HOST", host); err == nil {
		out = append(out, Place{path, "the Docker engine's socket"})
	}
	out = append(out,
		Place{c.DataRootFolder, "docker-sd's own data"},
		Place{"/proc", "the kernel's settings"},
		Place{"/sys", "the kernel's settings"},
		Place{"/run/docker", "the Docker engine's own files"},
		Place{"/run/containerd", "containerd's socket"},
		Place{"/var/lib/containerd", "containerd's data"},
	)
	if network, address := c.Listen(); network == "unix" {
		out = append(out, Place{address, "docker-sd's own socket"})
	}
	if c.AccountingFile != "" {
		out = append(out, Place{c.AccountingFile, "the accounts of pods"})
	}
	if c.SeccompProfileRoot != "" {
		out = append(out, Place{c.SeccompProfileRoot, "the seccomp profiles that pods may name"})
	}
	if c.PodDefaults.CACertificates != "" {
		out = append(out, Place{c.PodDefaults.CACertificates, "certificates that pods trust"})
	}
	for _, one := range c.Registries {
		if one.CAFile != "" {
			out = append(out, Place{one.CAFile, "certificates that registries are checked with"})
		}
	}
	for _, program := range c.RuntimeClasses.Programs() {
		out = append(out, Place{program, "a program that runs containers"})
	}
	if network, address := c.InterlinkAPI.Listen(); network == "unix" {
		out = append(out, Place{address, "docker-sd's own socket"})
	}
	for _, file := range []string{c.Access.TokenFile, c.Access.KeyFile, c.InterlinkAPI.TokenFile, c.InterlinkAPI.KeyFile} {
		if file != "" {
			out = append(out, Place{file, "a secret of docker-sd's own"})
		}
	}
	return out
}

// CheckApart refuses host paths for pods that hold one of the places, or lie in it,
// with links followed: every pod could read and write there.
func (c Config) CheckApart(places []Place) error {
	check := func(key, path string) error {
		for _, place := range places {
			mine, theirs := resolved(path), resolved(place.Path)
			if within(mine, theirs) || within(theirs, mine) {
				return invalid(key, path, "apart from "+place.What+", "+place.Path+
					": every sandbox mounts it, and pods would reach that; name a folder beside it")
			}
		}
		return nil
	}
	var problems []error
	for _, path := range c.HostPathPrefixes {
		problems = append(problems, check("HostPathPrefixes", path))
	}
	for _, claim := range slices.Sorted(maps.Keys(c.PersistentVolumeClaims)) {
		problems = append(problems, check("PersistentVolumeClaims."+claim, c.PersistentVolumeClaims[claim]))
	}
	if c.Storage.Root != "" {
		problems = append(problems, check("PersistentVolumeRoot", c.Storage.Root))
	}
	return errors.Join(problems...)
}

// resolved follows the links in that part of a path that exists.
func resolved(path string) string {
	rest := ""
	for current := path; ; current = filepath.Dir(current) {
		target, err := filepath.EvalSymlinks(current)
		if err == nil {
			return filepath.Join(target, rest)
		}
		if !errors.Is(err, fs.ErrNotExist) || current == filepath.Dir(current) {
			return path
		}
		rest = filepath.Join(filepath.Base(current), rest)
	}
}
