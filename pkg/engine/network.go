package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
)

// bridgeOption is the option of a network that names its interface on the host.
const bridgeOption = "com.docker.network.bridge.name"

// mtuOption is the option of a network that bounds its packets.
const mtuOption = "com.docker.network.driver.mtu"

// networkAPI is the part of a Client for networks.
type networkAPI struct{ *connection }

// CreateNetwork makes a bridge network. A subnet that overlaps another network's is
// ErrPermissionDenied, in the engine's words; an interface that another network has
// is ErrUnavailable, since networks that are being removed keep theirs for a moment.
func (c networkAPI) CreateNetwork(ctx context.Context, spec NetworkSpec) error {
	ctx, cancel := c.patient(ctx)
	defer cancel()
	options := network.CreateOptions{Driver: "bridge", Labels: spec.Labels}
	if spec.Subnet != "" {
		options.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: spec.Subnet}}}
	}
	options.Options = map[string]string{}
	if spec.Bridge != "" {
		options.Options[bridgeOption] = spec.Bridge
	}
	if spec.MTU > 0 {
		options.Options[mtuOption] = strconv.Itoa(spec.MTU)
	}
	if _, err := c.sdk(ctx).NetworkCreate(ctx, spec.Name, options); err != nil {
		if strings.Contains(err.Error(), "have same bridge name") {
			return fmt.Errorf("create network %s: %w: %w", spec.Name, errdefs.ErrUnavailable, err)
		}
		return fmt.Errorf("create network %s: %w", spec.Name, classify(ctx, err))
	}
	return nil
}

// bridgeOf is the name of a network's interface on the host, "" for one of another
// kind.
func bridgeOf(n network.Summary) string {
	if n.Driver != "bridge" {
		return ""
	}
	if name := n.Options[bridgeOption]; name != "" {
		return name
	}
	return "br-" + n.ID[:min(len(n.ID), 12)]
}

// RemoveNetwork removes a network by name or id; gone already is success.
func (c networkAPI) RemoveNetwork(ctx context.Context, nameOrID string) error {
	ctx, cancel := c.patient(ctx)
	defer cancel()
	if err := c.sdk(ctx).NetworkRemove(ctx, nameOrID); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove network %s: %w", nameOrID, classify(ctx, err))
	}
	return nil
}

// ListNetworks returns the networks that carry all the labels.
func (c networkAPI) ListNetworks(ctx context.Context, labels ...string) ([]Network, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	found, err := c.sdk(ctx).NetworkList(ctx, network.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", classify(ctx, err))
	}
	out := make([]Network, 0, len(found))
	for _, n := range found {
		item := Network{ID: n.ID, Name: n.Name, Labels: n.Labels, Created: n.Created, Bridge: bridgeOf(n)}
		item.MTU, _ = strconv.Atoi(n.Options[mtuOption]) // 0 without
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
func (c containerAPI) Join(ctx context.Context, name, id string) error {
	seen, err := c.Inspect(ctx, id)
	if err != nil {
		return err
	}
	if _, joined := seen.IPs[name]; joined {
		return nil
	}
	ctx, cancel := c.patient(ctx)
	defer cancel()
	// An engine connects nothing to a container that has none.
	if _, isolated := seen.IPs[noNetwork]; isolated {
		if err := c.sdk(ctx).NetworkDisconnect(ctx, noNetwork, id, false); err != nil {
			return fmt.Errorf("connect container to network %s: %w", name, classify(ctx, err))
		}
	}
	if err := c.sdk(ctx).NetworkConnect(ctx, name, id, nil); err != nil {
		return fmt.Errorf("connect container to network %s: %w", name, classify(ctx, err))
	}
	return nil
}
