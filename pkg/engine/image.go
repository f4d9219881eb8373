package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
)

// Image returns what the engine has under a reference or id; ErrNotFound if
// it has nothing.
func (c *Client) Image(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	seen, err := c.sdk(ctx).ImageInspect(ctx, ref)
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
func (c *Client) Images(ctx context.Context) ([]Image, error) {
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
func (c *Client) RemoveImage(ctx context.Context, ref string) error {
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
// report, unless nil, is told how far it is; it must not block. What the
// registry itself refused is ErrNotFound or ErrPermissionDenied, or both where
// it does not tell a stranger what it has.
func (c *Client) Pull(ctx context.Context, ref string, auth Credentials, report func(PullProgress)) error {
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

// ConfirmImage is nil if an image's registry would give it for credentials. It
// fetches the manifest only. Errors have the classes of Pull's.
func (c *Client) ConfirmImage(ctx context.Context, ref string, auth Credentials) error {
	encoded, err := auth.encode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	if _, err := c.sdk(ctx).DistributionInspect(ctx, ref, encoded); err != nil {
		return fmt.Errorf("ask the registry for image %s: %w", ref, refused(classify(ctx, err)))
	}
	return nil
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

// CopyImage transfers an image with all its layers to another engine and
// returns its id there, which differs between kinds of image store.
func (c *Client) CopyImage(ctx context.Context, to *Client, ref string) (string, error) {
	ctx, silence, end := listen(ctx, c.quiet)
	defer end()
	archive, err := c.sdk(ctx).ImageSave(ctx, []string{ref})
	if err != nil {
		return "", fmt.Errorf("save image %s: %w", ref, classify(ctx, err))
	}
	defer archive.Close()
	loaded, err := to.sdk(ctx).ImageLoad(ctx, flowing{archive, silence})
	if err != nil {
		return "", fmt.Errorf("load image %s: %w", ref, classify(ctx, err))
	}
	defer loaded.Body.Close()
	lines, err := readProgress(flowing{loaded.Body, silence}, nil)
	if err != nil {
		return "", fmt.Errorf("load image %s: %w", ref, silent(ctx, err))
	}
	for _, line := range lines {
		for _, prefix := range []string{"Loaded image ID: ", "Loaded image: "} {
			if name, found := strings.CutPrefix(line, prefix); found {
				seen, err := to.Image(ctx, strings.TrimSpace(name))
				return seen.ID, err
			}
		}
	}
	return "", fmt.Errorf("load image %s: the engine did not name what it loaded", ref)
}

// ImportEmpty makes an image without files under a name.
func (c *Client) ImportEmpty(ctx context.Context, name string) error {
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

// progress is one message of the engine's pull and load streams.
type progress struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Stream string `json:"stream"`
	Error  string `json:"error"`
	Detail struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
}

// readProgress drains a stream to its end; the engine reports failures inside
// it, after a status of 200. each may be nil.
func readProgress(r io.Reader, each func(progress)) (lines []string, err error) {
	decoder := json.NewDecoder(r)
	for {
		var p progress
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return lines, fmt.Errorf("read the engine's progress: %w", err)
		}
		if p.Error != "" {
			return lines, errors.New(p.Error)
		}
		if p.Stream != "" {
			lines = append(lines, p.Stream)
		}
		if each != nil {
			each(p)
		}
	}
}
