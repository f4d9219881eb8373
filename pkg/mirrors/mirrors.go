// Package mirrors says under which names images are at the mirrors of their registries, and
// how engines reach registries.
package mirrors

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Registry says how one is reached.
type Registry struct {
	// Name is the host of the registry as references have it, such as docker.io or
	// registry.example.org:5000.
	Name string
	// Mirrors are asked first, in this order: a host and, for a mirror that has the images
	// of the registry in a folder, its path. One behind http:// has no TLS.
	Mirrors []string
	// Insecure says that the registry has no TLS, or a certificate that is not checked.
	Insecure bool
	// CAFile has the certificates of authorities that the registry's is checked with, beside
	// those that the engine knows. "" adds none.
	CAFile string
}

// Registries that are reached in another way than all others.
type Registries []Registry

// mirror is one that was written as a URL or without a scheme.
type mirror struct {
	host, path string
	plain      bool
}

// errMirror is about a text that no valid configuration has.
var errMirror = errors.New("no mirror")

func parse(text string) (mirror, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	at, err := url.Parse(text)
	if err != nil || at.Host == "" {
		return mirror{}, errMirror
	}
	return mirror{host: at.Host, path: strings.Trim(at.Path, "/"), plain: at.Scheme == "http"}, nil
}

// name of a repository at the mirror.
func (m mirror) name(path string) string {
	if m.path != "" {
		path = m.path + "/" + path
	}
	return m.host + "/" + path
}

// of are the mirrors of a registry.
func (r Registries) of(host string) []mirror {
	var out []mirror
	for _, one := range r {
		if one.Name != host {
			continue
		}
		for _, text := range one.Mirrors {
			if m, err := parse(text); err == nil && m.host != host {
				out = append(out, m)
			}
		}
	}
	return out
}

// Names of an image at the mirrors of its registry, in the order in which they are asked.
func (r Registries) Names(named reference.Named) []reference.Named {
	var out []reference.Named
	for _, m := range r.of(reference.Domain(named)) {
		suffix := strings.TrimPrefix(named.String(), named.Name())
		if at, err := reference.ParseNamed(m.name(reference.Path(named)) + suffix); err == nil {
			out = append(out, at)
		}
	}
	return out
}

// Originals replaces digests of images at mirrors with those at the registries, where one of
// the image's names tells which registry that is. Of an image without a name it is the first
// whose mirror it is.
func (r Registries) Originals(digests, names []string) []string {
	var out []string
	for _, digest := range digests {
		original := r.original(digest, names)
		if !slices.Contains(out, original) {
			out = append(out, original)
		}
	}
	return out
}

func (r Registries) original(digest string, names []string) string {
	name, suffix, _ := strings.Cut(digest, "@")
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return digest
	}
	var repositories []string
	for _, text := range names {
		if one, err := reference.ParseNormalizedNamed(text); err == nil {
			repositories = append(repositories, one.Name())
		}
	}
	for _, one := range r {
		for _, m := range r.of(one.Name) {
			path, found := strings.CutPrefix(named.Name(), m.name(""))
			if original := one.Name + "/" + path; found && (len(repositories) == 0 || slices.Contains(repositories, original)) {
				return familiar(original) + "@" + suffix
			}
		}
	}
	return digest
}

// familiar is a repository as engines write it.
func familiar(name string) string {
	if named, err := reference.ParseNamed(name); err == nil {
		return reference.FamiliarName(named)
	}
	return name
}

// Insecure are the hosts that an engine may ask without TLS, or without a look at the
// certificate.
func (r Registries) Insecure() []string {
	var out []string
	for _, one := range r {
		if one.Insecure {
			out = append(out, one.Name)
		}
		for _, text := range one.Mirrors {
			if m, err := parse(text); err == nil && m.plain {
				out = append(out, m.host)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Certificates are the files with certificates of authorities, by host.
func (r Registries) Certificates() map[string]string {
	out := map[string]string{}
	for _, one := range r {
		if one.CAFile != "" {
			out[one.Name] = one.CAFile
		}
	}
	return out
}
