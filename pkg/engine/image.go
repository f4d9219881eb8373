package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
)

// imageAPI is the part of a Client for the engine's images and their registries.
type imageAPI struct{ *connection }

// withoutLayers are the words of an engine for an image of which only the configuration is
// left. An engine that is started passes such an image over, but finds it by its id.
const withoutLayers = "layer does not exist"

// changedMeanwhile are the words of an engine with the containerd store for an image of which a
// name came or went while it looked; it asks to be asked again. maxChanges is how often it is.
const (
	changedMeanwhile = "data changed during operation, retry"
	maxChanges       = 5
)

// Image returns the image with a reference or id; ErrNotFound if there is none, or none
// whose layers are there.
func (c imageAPI) Image(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	seen, err := c.sdk(ctx).ImageInspect(ctx, ref)
	for tries := 0; err != nil && strings.Contains(err.Error(), changedMeanwhile) && tries < maxChanges && ctx.Err() == nil; tries++ {
		seen, err = c.sdk(ctx).ImageInspect(ctx, ref)
	}
	if err != nil && strings.Contains(err.Error(), withoutLayers) {
		err = fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
	}
	if err != nil {
		return Image{}, fmt.Errorf("inspect image %s: %w", ref, classify(ctx, err))
	}
	out := Image{ID: seen.ID, Tags: seen.RepoTags, Digests: seen.RepoDigests, Size: seen.Size}
	if seen.Config != nil {
		out.User, out.Env = seen.Config.User, seen.Config.Env
	}
	if seen.GraphDriver.Name == "overlay2" {
		out.Layers = overlayFolders(seen.GraphDriver.Data)
	}
	return out, nil
}

// Images lists all images that have a name or no child; only ID, Tags, Digests,
// Size and Parent are filled.
func (c imageAPI) Images(ctx context.Context) ([]Image, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	found, err := c.sdk(ctx).ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", classify(ctx, err))
	}
	out := make([]Image, 0, len(found))
	for _, one := range found {
		out = append(out, Image{ID: one.ID, Tags: one.RepoTags, Digests: one.RepoDigests, Size: one.Size, Parent: one.ParentID})
	}
	return out, nil
}

// overlayFolders names the folders of an image's layers, topmost first: overlay2
// shows them as ROOT/FOLDER/diff.
func overlayFolders(data map[string]string) []string {
	var out []string
	for _, key := range []string{"UpperDir", "LowerDir"} {
		for dir := range strings.SplitSeq(data[key], ":") {
			if dir != "" {
				out = append(out, path.Base(path.Dir(dir)))
			}
		}
	}
	return out
}

// RemoveImage takes a name from an image, and removes the image with its last
// one. Nothing is forced: ErrConflict says that a container, running or not,
// needs it. An image that is gone is success.
func (c imageAPI) RemoveImage(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	_, err := c.sdk(ctx).ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove image %s: %w", ref, classify(ctx, err))
	}
	return nil
}

// Credentials of a registry: a password, or an identity token, from which the
// engine gets itself the access tokens that it needs. The zero value is anonymous.
type Credentials struct{ User, Password, IdentityToken, Server string }

// Pull fetches an image from its registry and returns when it is complete.
// report, unless nil, is told how far it is; it must not block. A
// refusal by the registry itself is ErrNotFound or ErrPermissionDenied, or both where
// it does not tell a stranger whether the image exists.
func (c imageAPI) Pull(ctx context.Context, ref string, auth Credentials, report func(PullProgress)) error {
	encoded, err := auth.encode()
	if err != nil {
		return err
	}
	options := image.PullOptions{RegistryAuth: encoded}
	ctx, silence, end := listen(ctx, c.quiet)
	defer end()
	stream, err := c.sdk(ctx).ImagePull(ctx, ref, options)
	if err != nil {
		return fmt.Errorf("pull image %s: %w", ref, refused(classify(ctx, err)))
	}
	defer stream.Close()
	layers := layers{}
	_, err = readProgress(flowing{stream, silence}, func(m progress) {
		if report != nil && layers.note(m) {
			report(layers.sum())
		}
	})
	if err != nil {
		return fmt.Errorf("pull image %s: %w", ref, refused(silent(ctx, err)))
	}
	return nil
}

// encode them for the header of a call; none is "".
func (c Credentials) encode() (string, error) {
	if c == (Credentials{}) {
		return "", nil
	}
	encoded, err := registry.EncodeAuthConfig(registry.AuthConfig{
		Username: c.User, Password: c.Password, IdentityToken: c.IdentityToken, ServerAddress: c.Server})
	if err != nil {
		return "", fmt.Errorf("encode the credentials of registry %s: %w", c.Server, err)
	}
	return encoded, nil
}

// ConfirmImage is nil if an image's registry would give it for credentials. Errors have the
// classes of Pull's.
func (c imageAPI) ConfirmImage(ctx context.Context, ref string, auth Credentials) error {
	_, err := c.ResolveImage(ctx, ref, auth)
	return err
}

// ResolveImage is the digest that an image has in its registry, which is asked for the
// manifest only. Errors have the classes of Pull's.
func (c imageAPI) ResolveImage(ctx context.Context, ref string, auth Credentials) (string, error) {
	encoded, err := auth.encode()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	found, err := c.sdk(ctx).DistributionInspect(ctx, ref, encoded)
	if err != nil {
		return "", fmt.Errorf("ask the registry for image %s: %w", ref, refused(classify(ctx, err)))
	}
	return string(found.Descriptor.Digest), nil
}

// confirmLimit bounds a question to a registry, which the engine passes on.
const confirmLimit = time.Minute

// refusals are the words of registries that want other credentials, or any.
var refusals = []string{"unauthorized", "401 Unauthorized", "no basic auth credentials", "authentication required", "denied", "403 Forbidden"}

// refused gives a class to a registry's refusal, which engines pass on as text.
func refused(err error) error {
	if errdefs.IsUnavailable(err) || errors.Is(err, context.Canceled) {
		return err
	}
	words := refusals
	if errdefs.IsNotFound(err) {
		words = []string{"pull access denied"} // the engine's, for "denied"
	}
	if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(err.Error(), word) }) {
		return fmt.Errorf("%w: %w", errdefs.ErrPermissionDenied, err)
	}
	return err
}

// ImportEmpty makes an image without files under a name.
func (c imageAPI) ImportEmpty(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	// An archive of nothing is its end: two blocks of zeros, see tar(5).
	nothing := bytes.NewReader(make([]byte, 1024))
	stream, err := c.sdk(ctx).ImageImport(ctx, image.ImportSource{Source: nothing, SourceName: "-"}, name, image.ImportOptions{})
	if err != nil {
		return fmt.Errorf("import the empty image %s: %w", name, classify(ctx, err))
	}
	defer stream.Close()
	if _, err := readProgress(stream, nil); err != nil {
		return fmt.Errorf("import the empty image %s: %w", name, err)
	}
	return nil
}

// TagImage gives an image another name, which is taken from the one that had it.
func (c imageAPI) TagImage(ctx context.Context, id, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	if err := c.sdk(ctx).ImageTag(ctx, id, name); err != nil {
		return fmt.Errorf("name image %s %s: %w", id, name, classify(ctx, err))
	}
	return nil
}

// TaggedImages lists the images of a repository, id by full name.
func (c imageAPI) TaggedImages(ctx context.Context, repository string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	found, err := c.sdk(ctx).ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", repository))})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", classify(ctx, err))
	}
	out := map[string]string{}
	for _, f := range found {
		for _, name := range f.RepoTags {
			out[name] = f.ID
		}
	}
	return out, nil
}

// DropImage removes an image with all its names; gone already is success.
func (c imageAPI) DropImage(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	_, err := c.sdk(ctx).ImageRemove(ctx, id, image.RemoveOptions{Force: true, PruneChildren: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove image %s: %w", id, classify(ctx, err))
	}
	return nil
}
