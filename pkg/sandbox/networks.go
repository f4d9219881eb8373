package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// NetworksHost is what Networks need of the host's engine.
type NetworksHost interface {
	CreateNetwork(context.Context, engine.NetworkSpec) error
	Join(ctx context.Context, network, id string) error
	RemoveNetwork(ctx context.Context, id string) error
	ListNetworks(ctx context.Context, labels ...string) ([]engine.Network, error)
}

// Networks makes and removes the networks of sandboxes, each in a range of its own.
type Networks struct {
	config  Config
	host    NetworksHost
	subnets *subnets
}

// NewNetworks returns those with the configured ranges, all of them free.
func NewNetworks(config Config, host NetworksHost) *Networks {
	return &Networks{config: config, host: host, subnets: newSubnets(config.Subnets)}
}

// MarkUsed takes the ranges of earlier sandboxes out of the free ones.
func (n *Networks) MarkUsed(ctx context.Context) error {
	found, err := n.host.ListNetworks(ctx, n.config.labelled()...)
	if err != nil {
		return fmt.Errorf("find earlier networks: %w", err)
	}
	for _, network := range found {
		if prefix, err := netip.ParsePrefix(network.Subnet); err == nil {
			n.subnets.claim(network.Labels[engine.LabelSandbox], prefix)
		}
	}
	return nil
}

// reserve returns the range of a sandbox's network, "" when the engine is to choose.
func (n *Networks) reserve(name string) (string, error) { return n.subnets.take(name) }

// create makes the sandbox's network in the range that was reserved for it.
func (n *Networks) create(ctx context.Context, name, subnet string, labels map[string]string) error {
	err := n.createIn(ctx, subnet, name, labels)
	fault.Point("sandbox.boot.network")
	return err
}

// createIn tries a range, and then the first free one that nothing else uses: other
// networks of the engine's are seen only by its refusal.
func (n *Networks) createIn(ctx context.Context, subnet, name string, labels map[string]string) error {
	spec := engine.NetworkSpec{Name: NetworkName(name), Labels: labels, Bridge: n.bridge(name), MTU: n.config.MTU}
	for left := n.subnets.left(); ; left-- {
		spec.Subnet = subnet
		err := n.host.CreateNetwork(ctx, spec)
		if err == nil || errdefs.IsConflict(err) {
			return n.guarded(ctx, name)
		}
		if subnet == "" || !errdefs.IsPermissionDenied(err) {
			return err
		}
		n.subnets.pass(name)
		if left <= 0 {
			return err
		}
		if subnet, err = n.subnets.take(name); err != nil {
			return err
		}
	}
}

// bridge is the guard's name for the host's interface of a sandbox's network, "" if
// there is no guard.
func (n *Networks) bridge(name string) string {
	if n.config.Guard == nil {
		return ""
	}
	return n.config.Guard.Bridge(name)
}

// guarded is nil if the guard, if any, lets a sandbox use its network.
func (n *Networks) guarded(ctx context.Context, name string) error {
	if n.config.Guard == nil {
		return nil
	}
	return n.config.Guard.Guarded(ctx, n.bridge(name))
}

// join gives a sandbox's container its network.
func (n *Networks) join(ctx context.Context, name, id string) error {
	err := n.host.Join(ctx, NetworkName(name), id)
	if err == nil {
		fault.Point("sandbox.boot.joined")
	}
	return err
}

// remove removes a sandbox's network and frees its range. It may be repeated.
func (n *Networks) remove(ctx context.Context, name string) error {
	// By id: an engine that was asked twice, once before a crash and once after,
	// may have made two networks of one name.
	found, err := n.host.ListNetworks(ctx, n.config.labelledAs(name)...)
	problems := []error{err}
	for _, network := range found {
		problems = append(problems, n.host.RemoveNetwork(ctx, network.ID))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	fault.Point("sandbox.remove.network")
	n.subnets.give(name)
	return nil
}
