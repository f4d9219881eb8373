package images

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/mirrors"
)

// An image that comes from a mirror is pulled by its digest there, and then named as its
// registry names it. An engine keeps the digest as the mirror's; the names that docker-sd
// looks for, shows and collects are the registry's.

// mirrored is an engine whose images have the names of their registries, wherever they came
// from.
type mirrored struct {
	Host
	registries mirrors.Registries
}

// Image finds an image by a digest, too, with which a mirror gave it.
func (m mirrored) Image(ctx context.Context, ref string) (engine.Image, error) {
	image, err := m.raw(ctx, ref)
	return m.named(image, ref), err
}

// raw is Image with the digests as the engine has them.
func (m mirrored) raw(ctx context.Context, ref string) (engine.Image, error) {
	image, err := m.Host.Image(ctx, ref)
	if !errdefs.IsNotFound(err) {
		return image, err
	}
	named, parseErr := reference.ParseNormalizedNamed(ref)
	if parseErr != nil || !isDigest(named) {
		return image, err
	}
	for _, at := range m.registries.Names(named) {
		if found, err := m.Host.Image(ctx, at.String()); !errdefs.IsNotFound(err) {
			return found, err
		}
	}
	return image, err
}

// named gives an image, which was asked for by a name or by its id, the digests of its
// registries.
func (m mirrored) named(image engine.Image, ref ...string) engine.Image {
	if len(m.registries) == 0 {
		return image
	}
	var tags, names []string
	for _, tag := range image.Tags {
		// With the containerd store an engine lists the names by digests here, too.
		if _, _, digested := strings.Cut(tag, "@"); !digested {
			tags, names = append(tags, tag), append(names, tag)
		}
	}
	for _, one := range ref {
		if !strings.HasPrefix(one, "sha256:") {
			names = append(names, one)
		}
	}
	for _, tag := range image.Tags {
		if original := m.registries.Originals([]string{tag}, names); strings.Contains(tag, "@") && original[0] == tag {
			tags = append(tags, tag) // no mirror's
		}
	}
	image.Tags, image.Digests = tags, m.registries.Originals(image.Digests, names)
	return image
}

// Images lists them with the digests of their registries.
func (m mirrored) Images(ctx context.Context) ([]engine.Image, error) {
	list, err := m.Host.Images(ctx)
	for i := range list {
		list[i] = m.named(list[i])
	}
	return list, err
}

// RemoveImage takes the name that an image has at mirrors from it first: with that alone
// left, nothing would know it any more.
func (m mirrored) RemoveImage(ctx context.Context, ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil || strings.HasPrefix(ref, "sha256:") {
		return m.Host.RemoveImage(ctx, ref)
	}
	image, err := m.raw(ctx, ref)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	for _, digest := range image.Digests {
		for _, at := range m.registries.Names(named) {
			if repository, _, _ := strings.Cut(digest, "@"); repository == at.Name() {
				if err := m.Host.RemoveImage(ctx, digest); err != nil {
					return err
				}
			}
		}
	}
	return m.Host.RemoveImage(ctx, ref)
}

// source is where an image is asked for.
type source struct {
	// named is the image as people call it; mirror is its name at a mirror, nil for its
	// registry itself.
	named, mirror reference.Named
}

// name of the image there.
func (s source) name() reference.Named {
	if s.mirror != nil {
		return s.mirror
	}
	return s.named
}

// mirrorName is that of the image at the mirror, "" for its registry.
func (s source) mirrorName() string {
	if s.mirror == nil {
		return ""
	}
	return s.mirror.String()
}

// words tell people of the mirror.
func (s source) words() []string {
	if s.mirror == nil {
		return nil
	}
	return []string{"mirror", reference.Domain(s.mirror)}
}

// sourcedEngine is what a pull needs of an engine.
type sourcedEngine interface {
	Image(ctx context.Context, ref string) (engine.Image, error)
	Pull(ctx context.Context, ref string, auth engine.Credentials, report func(engine.PullProgress)) error
	ResolveImage(ctx context.Context, ref string, auth engine.Credentials) (digest string, err error)
	TagImage(ctx context.Context, id, name string) error
}

// pull has an engine pull the image.
func (s source) pull(ctx context.Context, e sourcedEngine, auth engine.Credentials, report func(engine.PullProgress)) error {
	if s.mirror == nil {
		return e.Pull(ctx, s.named.String(), auth, report)
	}
	exact := s.mirror.String()
	if !isDigest(s.named) {
		// By its digest the image gets no name there, which would have to be taken away again.
		digest, err := e.ResolveImage(ctx, exact, auth)
		if err != nil {
			return err
		}
		exact = s.mirror.Name() + "@" + digest
	}
	if err := e.Pull(ctx, exact, auth, report); err != nil || isDigest(s.named) {
		return err
	}
	image, err := e.Image(ctx, exact)
	if err != nil {
		return err
	}
	return e.TagImage(ctx, image.ID, s.named.String())
}

// sourced calls do with the mirrors of an image's registry until one has given what is asked
// for, and with the registry itself when none has. A mirror gets docker-sd's own credentials
// for the mirror, if there are any, and never those of a pod, which are for the registry.
func (r *registries) sourced(ctx context.Context, named reference.Named, keys keyring.Keyring, do func(grant, source) error) error {
	for _, mirror := range r.mirrors.Names(named) {
		if r.isPassedOver(mirror) {
			continue
		}
		err := r.authorized(ctx, mirror, nil, func(g grant) error { return do(g, source{named, mirror}) })
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !errdefs.IsNotFound(err) && !errdefs.IsPermissionDenied(err) {
			r.passOver(mirror)
		}
		r.tellFailed(ctx, named, mirror, err)
	}
	return r.authorized(ctx, named, keys, func(g grant) error { return do(g, source{named: named}) })
}

// tellFailed tells people that a mirror is passed over.
func (r *registries) tellFailed(ctx context.Context, named, mirror reference.Named, err error) {
	log.G(ctx).WithField("image", named.String()).WithField("mirror", reference.Domain(mirror)).WithError(err).
		Warn("a mirror did not give an image, the next place is asked")
	_, done := r.observer.Step(ctx, StepMirror, "image", named.String(), "mirror", reference.Domain(mirror), "because", reasonOf(err))
	done(fmt.Errorf("mirror %s: %w", reference.Domain(mirror), err))
}

// reasonOf a failure, in a few words.
func reasonOf(err error) string {
	switch {
	case errdefs.IsNotFound(err):
		return "it does not have the image"
	case errdefs.IsPermissionDenied(err):
		return "it wants other credentials"
	}
	return "it did not answer as a registry"
}

// untrusted are the words of engines that do not ask a registry: it has no TLS, or a
// certificate of an authority that they do not know.
var untrusted = []string{"server gave HTTP response to HTTPS client", "x509: ", "certificate signed by unknown authority"}

// explained says what an administrator can do about a registry that an engine does not trust;
// inside says that it is the engine of a sandbox.
func (s source) explained(err error, inside bool) error {
	if err == nil || !slices.ContainsFunc(untrusted, func(words string) bool { return strings.Contains(err.Error(), words) }) {
		return err
	}
	host := reference.Domain(s.name())
	if inside {
		return fmt.Errorf("%w (the key Registries of docker-sd allows %s with insecure, or with the authority in caFile)", err, host)
	}
	return fmt.Errorf("%w (the host's engine allows %s with insecure-registries in its daemon.json, or with the authority in /etc/docker/certs.d/%s/ca.crt)", err, host, host)
}
