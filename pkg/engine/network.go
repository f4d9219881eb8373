package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
)

// CreateNetwork makes a bridge network; subnet "" lets the engine choose. A
// subnet that overlaps another network's is ErrPermissionDenied, in the engine's
// words.
func (c *Client) CreateNetwork(ctx context.Context, name, subnet string, labels map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	options := network.CreateOptions{Driver: "bridge", Labels: labels}
	if subnet != "" {
		options.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}}
	}
	if _, err := c.docker.NetworkCreate(ctx, name, options); err != nil {
		return fmt.Errorf("create network %s: %w", name, classify(ctx, err))
	}
	return nil
}

// RemoveNetwork removes a network by name or id; gone already is success.
func (c *Client) RemoveNetwork(ctx context.Context, nameOrID string) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	if err := c.docker.NetworkRemove(ctx, nameOrID); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove network %s: %w", nameOrID, classify(ctx, err))
	}
	return nil
}

// ListNetworks returns the networks that carry all the labels.
func (c *Client) ListNetworks(ctx context.Context, labels ...string) ([]Network, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	found, err := c.docker.NetworkList(ctx, network.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", classify(ctx, err))
	}
	out := make([]Network, 0, len(found))
	for _, n := range found {
		item := Network{ID: n.ID, Name: n.Name, Labels: n.Labels, Created: n.Created}
		if len(n.IPAM.Config) > 0 {
			item.Subnet = n.IPAM.Config[0].Subnet
		}
		out = append(out, item)
	}
	return out, nil
}

// noNetwork is the engine's name for the network of a container that has none.
const noNetwork = "none"

// Join connects a container to a network, and to no other. One that was made
// without a network (Spec.Network "none") gets it while it runs. Connected already
// is success.
func (c *Client) Join(ctx context.Context, name, id string) error {
	seen, err := c.Inspect(ctx, id)
	if err != nil {
		return err
	}
	if _, joined := seen.IPs[name]; joined {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	// An engine connects nothing to a container that has none.
	if _, isolated := seen.IPs[noNetwork]; isolated {
		if err := c.docker.NetworkDisconnect(ctx, noNetwork, id, false); err != nil {
			return fmt.Errorf("connect container to network %s: %w", name, classify(ctx, err))
		}
	}
	if err := c.docker.NetworkConnect(ctx, name, id, nil); err != nil {
		return fmt.Errorf("connect container to network %s: %w", name, classify(ctx, err))
	}
	return nil
}
