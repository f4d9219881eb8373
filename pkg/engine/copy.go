package engine

import (
	"context"
	"fmt"
	"strings"
)

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
