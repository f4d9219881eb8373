package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/google/renameio/v2"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// siteFiles are the files that containers have of the site that they run at: the file of its
// time zone, and the certificates of its authorities.
type siteFiles struct{ *runner }

// zonesFolder is where every C library, Go and Python look for the file of a time zone. The
// file is not mounted at /etc/localtime, too: that is a link in most images, and an engine
// mounts at the end of it, which would change the zone UTC.
const zonesFolder = "/usr/share/zoneinfo"

// bundlePaths are where images have the certificates that their programs trust, by
// distribution.
var bundlePaths = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",                  // RHEL, Fedora
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL, Fedora
	"/etc/ssl/ca-bundle.pem",                            // SUSE
	"/etc/ssl/cert.pem",                                 // Alpine, OpenSSL's own default
}

// Paths in a container of what programs with certificates of their own are pointed to: the
// image's certificates with the site's, and the site's alone.
const (
	allAuthorities  = "/etc/docker-sd/ca-certificates.crt"
	siteAuthorities = "/etc/docker-sd/site-certificates.crt"
)

// bundle is a file of an image with certificates.
type bundle struct {
	path string
	text []byte
}

// Bounds of what is read of an image's file, and of what is remembered, in bytes and images. A
// bundle of all public authorities has 0.2 MB, or 0.5 MB with comments.
const (
	maxBundleBytes     = 1 << 20
	maxBundles         = 32
	maxRememberedBytes = 1 << 20
)

// give adds to a container's spec what its pod gets of the site. What the pod says itself
// wins: its variables, and its volumes.
func (f siteFiles) give(ctx context.Context, spec *engine.Spec, image images.Image) error {
	d := f.p.Node.Defaults
	if len(d.Zone) > 0 && slices.Contains(spec.Env, "TZ="+d.ZoneName) {
		if err := f.mount(spec, "zone", path.Join(zonesFolder, d.ZoneName), d.Zone); err != nil {
			return err
		}
	}
	if len(d.Authorities) == 0 {
		return nil
	}
	own, err := f.bundles(ctx, image.ID)
	if err != nil {
		return err
	}
	return f.trust(spec, image, own, d.Authorities)
}

// trust has the container's programs trust the site's authorities beside those of the image.
// Files with both are mounted where the image has its own, and variables point programs to
// them that have others. Of ten programs tried, curl, wget, git, openssl and Python's ssl
// needed the first, requests and Node the second; Java is helped by neither.
func (f siteFiles) trust(spec *engine.Spec, image images.Image, own []bundle, site []byte) error {
	key := strings.TrimPrefix(image.ID, "sha256:")
	file := func(i int) string { return fmt.Sprintf("ca-%s-%d", key[:min(len(key), 12)], i) }
	if len(own) == 0 {
		// Nothing is hidden there, and all that look for a bundle look there.
		own = []bundle{{path: bundlePaths[0]}}
	} else if !covered(spec.Mounts, allAuthorities) {
		if err := f.mount(spec, file(0), allAuthorities, joined(own[0].text, site)); err != nil {
			return err
		}
		setDefault(spec, image, "SSL_CERT_FILE", allAuthorities)
		setDefault(spec, image, "REQUESTS_CA_BUNDLE", allAuthorities)
	}
	if !covered(spec.Mounts, siteAuthorities) {
		if err := f.mount(spec, "ca-site", siteAuthorities, site); err != nil {
			return err
		}
		setDefault(spec, image, "NODE_EXTRA_CA_CERTS", siteAuthorities) // beside Node's own
	}
	for i, one := range own {
		if err := f.mount(spec, file(i), one.path, joined(one.text, site)); err != nil {
			return err
		}
	}
	return nil
}

// joined are two bundles in one.
func joined(own, site []byte) []byte {
	if len(own) > 0 && !bytes.HasSuffix(own, []byte("\n")) {
		own = append(slices.Clone(own), '\n')
	}
	return slices.Concat(own, site)
}

// setDefault sets a variable that neither the pod nor the image has.
func setDefault(spec *engine.Spec, image images.Image, name, value string) {
	has := func(variable string) bool { return strings.HasPrefix(variable, name+"=") }
	if !slices.ContainsFunc(spec.Env, has) && !slices.ContainsFunc(image.Env, has) {
		spec.Env = append(spec.Env, name+"="+value)
	}
}

// covered says whether a path lies in what is mounted already: a volume of the pod, where
// nothing is put that is not the pod's.
func covered(mounts []engine.Mount, target string) bool {
	return slices.ContainsFunc(mounts, func(m engine.Mount) bool {
		below, found := strings.CutPrefix(target, path.Clean(m.Target))
		return found && (below == "" || below[0] == '/' || path.Clean(m.Target) == "/")
	})
}

// mount writes a file of the pod once and mounts it, read-only, unless a volume of the pod is
// there.
func (f siteFiles) mount(spec *engine.Spec, name, target string, text []byte) error {
	if covered(spec.Mounts, target) {
		return nil
	}
	dir := filepath.Join(f.s.PodDir(), "managed")
	source := filepath.Join(dir, name+".site") // no container's: their files end with message
	if _, err := os.Stat(source); errors.Is(err, os.ErrNotExist) {
		if err := renameio.WriteFile(source, text, 0o644, renameio.WithTempDir(dir)); err != nil {
			return fmt.Errorf("write %s for a container: %w", target, err)
		}
	}
	spec.Mounts = append(spec.Mounts, engine.Mount{Source: source, Target: target, ReadOnly: true})
	return nil
}

// bundles are those of an image, none for an image without.
func (f siteFiles) bundles(ctx context.Context, image string) ([]bundle, error) {
	if found, known := f.p.Accounts.bundlesOf(image); known {
		return found, nil
	}
	// No container of a pod has such a name: those are DNS labels.
	id, err := f.s.Engine.CreateOnce(ctx, engine.Spec{Name: podspec.ContainerName(f.p.Spec, "_bundles_"+f.spec.Name), Image: image,
		Entrypoint: []string{"/"}, Network: "none", Labels: map[string]string{engine.LabelPodUID: string(f.p.Spec.UID)}})
	if err != nil {
		return nil, err
	}
	out := []bundle{}
	for _, name := range bundlePaths {
		text, err := engine.ReadFile(ctx, f.s.Engine, id, name, maxBundleBytes)
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		if !bytes.Contains(text, []byte("-----BEGIN ")) || len(text) == maxBundleBytes {
			continue
		}
		for _, other := range out {
			if bytes.Equal(other.text, text) {
				text = other.text // one copy is remembered
			}
		}
		out = append(out, bundle{name, text})
	}
	if err := f.s.Engine.Remove(ctx, id); err != nil {
		return nil, err
	}
	f.p.Accounts.putBundles(image, out)
	return out, nil
}

// bundlesOf returns what is remembered of an image.
func (a *Accounts) bundlesOf(image string) ([]bundle, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, known := a.bundles[image]
	return found, known
}

// putBundles remembers those of an image, unless they are larger than any that people use:
// images are not trusted with the memory of docker-sd.
func (a *Accounts) putBundles(image string, found []bundle) {
	bytes := 0
	for _, one := range found {
		bytes += len(one.text)
	}
	if bytes > maxRememberedBytes {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bundles == nil || len(a.bundles) >= maxBundles {
		a.bundles = map[string][]bundle{}
	}
	a.bundles[image] = found
}
