package engine

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"
)

// Update gives a container other bounds, whether it runs or not.
func (c *Client) Update(ctx context.Context, id string, b Bounds) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	wanted := Resources{NanoCPUs: b.NanoCPUs, CPUShares: b.CPUShares, MemoryBytes: b.MemoryBytes, PidsLimit: b.PidsLimit}
	_, err := c.sdk(ctx).ContainerUpdate(ctx, id, container.UpdateConfig{Resources: resources(Spec{Resources: wanted})})
	if err != nil {
		return fmt.Errorf("update container: %w", classify(ctx, err))
	}
	return nil
}

// boundsOf reads what an engine keeps.
func boundsOf(r container.Resources) Bounds {
	out := Bounds{NanoCPUs: r.NanoCPUs, CPUShares: r.CPUShares, MemoryBytes: r.Memory}
	if r.PidsLimit != nil {
		out.PidsLimit = max(*r.PidsLimit, 0)
	}
	return out
}
