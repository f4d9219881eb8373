package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/volume"
)

// Volume of an engine.
type Volume struct {
	Name string
	// Path of its files on the engine's host.
	Path string
}

// volumeAPI is the part of a Client for the engine's volumes.
type volumeAPI struct{ *connection }

// UnusedVolumes returns those that carry all the labels and belong to no container.
func (c volumeAPI) UnusedVolumes(ctx context.Context, labels ...string) ([]Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	filters := labelFilter(labels)
	filters.Add("dangling", "true")
	found, err := c.sdk(ctx).VolumeList(ctx, volume.ListOptions{Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", classify(ctx, err))
	}
	out := make([]Volume, 0, len(found.Volumes))
	for _, v := range found.Volumes {
		if v != nil {
			out = append(out, Volume{Name: v.Name, Path: v.Mountpoint})
		}
	}
	return out, nil
}

// RemoveVolume removes a volume that belongs to no container; gone already is success.
func (c volumeAPI) RemoveVolume(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	if err := c.sdk(ctx).VolumeRemove(ctx, name, false); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove volume %s: %w", name, classify(ctx, err))
	}
	return nil
}
