package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
)

// Image returns what the engine has under a reference or id; ErrNotFound if
// it has nothing.
func (c *Client) Image(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	seen, err := c.docker.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, fmt.Errorf("inspect image %s: %w", ref, classify(ctx, err))
	}
	out := Image{ID: seen.ID, Tags: seen.RepoTags, Digests: seen.RepoDigests, Size: seen.Size}
	if seen.Config != nil {
		out.User, out.Env = seen.Config.User, seen.Config.Env
	}
	return out, nil
}

// Credentials of a registry; the zero value is anonymous.
type Credentials struct{ User, Password, Server string }

// Pull fetches an image from its registry and returns when it is complete.
func (c *Client) Pull(ctx context.Context, ref string, auth Credentials) error {
	options := image.PullOptions{}
	if auth != (Credentials{}) {
		encoded, err := registry.EncodeAuthConfig(registry.AuthConfig{
			Username: auth.User, Password: auth.Password, ServerAddress: auth.Server})
		if err != nil {
			return fmt.Errorf("encode the credentials of registry %s: %w", auth.Server, err)
		}
		options.RegistryAuth = encoded
	}
	ctx, silence, end := listen(ctx, c.quiet)
	defer end()
	stream, err := c.docker.ImagePull(ctx, ref, options)
	if err != nil {
		return fmt.Errorf("pull image %s: %w", ref, classify(ctx, err))
	}
	defer stream.Close()
	if _, err := readProgress(flowing{stream, silence}); err != nil {
		return fmt.Errorf("pull image %s: %w", ref, silent(ctx, err))
	}
	return nil
}

// CopyImage transfers an image with all its layers to another engine and
// returns its id there, which differs between kinds of image store.
func (c *Client) CopyImage(ctx context.Context, to *Client, ref string) (string, error) {
	ctx, silence, end := listen(ctx, c.quiet)
	defer end()
	archive, err := c.docker.ImageSave(ctx, []string{ref})
	if err != nil {
		return "", fmt.Errorf("save image %s: %w", ref, classify(ctx, err))
	}
	defer archive.Close()
	loaded, err := to.docker.ImageLoad(ctx, flowing{archive, silence})
	if err != nil {
		return "", fmt.Errorf("load image %s: %w", ref, classify(ctx, err))
	}
	defer loaded.Body.Close()
	lines, err := readProgress(flowing{loaded.Body, silence})
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

// progress is one message of the engine's pull and load streams.
type progress struct {
	Stream string `json:"stream"`
	Error  string `json:"error"`
}

// readProgress drains a stream to its end; the engine reports failures inside
// it, after a status of 200.
func readProgress(r io.Reader) (lines []string, err error) {
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
	}
}
