package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Registry says how one registry is reached.
type Registry struct {
	// Name is its host as references have it.
	Name string
	// Mirrors are asked first, in this order: URLs, whose scheme may be left out.
	Mirrors []string
	// Insecure has the engines of sandboxes ask it without TLS, or with a certificate that
	// nothing checks.
	Insecure bool
	// CAFile has certificates for the engines of sandboxes to check its own with; absolute
	// and cleaned, or "".
	CAFile string
}

func (r *Registry) settings() []setting {
	return []setting{
		{key: "name", dst: &r.Name},
		{key: "mirrors", dst: &r.Mirrors},
		{key: "insecure", dst: &r.Insecure},
		{key: "caFile", dst: &r.CAFile},
	}
}

const (
	registryRule = "the host of a registry as references have it, such as docker.io or registry.example.org:5000"
	mirrorRule   = "a host with an optional path, such as https://mirror.example.org or https://harbor.example.org/dockerhub"
)

func validateRegistries(list []Registry, sharing ImageSharing) error {
	seen := map[string]bool{}
	for i, one := range list {
		at := fmt.Sprintf("Registries[%d].", i)
		named, err := reference.ParseNormalizedNamed(one.Name + "/x/y")
		if err != nil || reference.Domain(named) != one.Name || reference.Path(named) != "x/y" || seen[one.Name] {
			rule := registryRule
			if seen[one.Name] {
				rule = "one entry for each registry"
			}
			return invalid(at+"name", one.Name, rule)
		}
		seen[one.Name] = true
		switch {
		case sharing == ImageSharingPull:
		case one.Insecure:
			return invalid(at+"insecure", "true", "used with ImageSharing pull alone: here the host's engine pulls, which has insecure-registries in its daemon.json")
		case one.CAFile != "":
			return invalid(at+"caFile", one.CAFile, "used with ImageSharing pull alone: here the host's engine pulls, which looks in /etc/docker/certs.d/"+one.Name+"/ca.crt")
		}
		for _, text := range one.Mirrors {
			if !isMirror(text) {
				return invalid(at+"mirrors", text, mirrorRule)
			}
		}
	}
	return nil
}

// isMirror says whether a text is a URL below which repositories have names that an engine
// takes. It takes a first part without a dot, a port or capitals for a user of Docker Hub.
func isMirror(text string) bool {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	at, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"http", "https"}, at.Scheme) || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return false
	}
	repository := strings.TrimSuffix(at.Host+at.Path, "/") + "/x"
	named, err := reference.ParseNormalizedNamed(repository)
	return err == nil && reference.Domain(named) == at.Host && named.Name() == repository
}
