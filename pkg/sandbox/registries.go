package sandbox

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// certificatesFolder is where an engine looks for a registry's authorities, in a folder for
// each host.
const certificatesFolder = "/etc/docker/certs.d"

// registryFlags are the arguments of dockerd that allow registries without TLS.
func (c Config) registryFlags() []string {
	var out []string
	for _, host := range c.InsecureRegistries {
		out = append(out, "--insecure-registry="+host)
	}
	return out
}

// registryMounts are the certificates of registries' authorities.
func (c Config) registryMounts() []engine.Mount {
	var out []engine.Mount
	for _, host := range slices.Sorted(maps.Keys(c.RegistryCertificates)) {
		out = append(out, engine.Mount{Source: c.RegistryCertificates[host], Target: filepath.Join(certificatesFolder, host, "ca.crt"), ReadOnly: true})
	}
	return out
}
