package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
)

// TagImage gives an image another name, which is taken from the one that had it.
func (c *Client) TagImage(ctx context.Context, id, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	if err := c.sdk(ctx).ImageTag(ctx, id, name); err != nil {
		return fmt.Errorf("name image %s %s: %w", id, name, classify(ctx, err))
	}
	return nil
}

// TaggedImages lists the images of a repository, id by full name.
func (c *Client) TaggedImages(ctx context.Context, repository string) (map[string]string, error) {
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
func (c *Client) DropImage(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	_, err := c.sdk(ctx).ImageRemove(ctx, id, image.RemoveOptions{Force: true, PruneChildren: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove image %s: %w", id, classify(ctx, err))
	}
	return nil
}
