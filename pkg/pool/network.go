package pool

import (
	"context"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// makeNetwork makes the sandbox's network in a range, or in the first free one that
// nobody else uses: other networks of the engine's are seen only by its refusal.
func (p *Pool) makeNetwork(ctx context.Context, name, subnet string, labels map[string]string) error {
	err := p.makeNetworkIn(ctx, subnet, name, labels)
	fault.Point("pool.boot.network")
	return err
}

func (p *Pool) makeNetworkIn(ctx context.Context, subnet, name string, labels map[string]string) error {
	spec := engine.NetworkSpec{Name: NetworkName(name), Labels: labels, Bridge: p.bridge(name)}
	for left := p.subnets.left(); ; left-- {
		spec.Subnet = subnet
		err := p.host.CreateNetwork(ctx, spec)
		if err == nil || errdefs.IsConflict(err) {
			return p.guarded(ctx, spec.Bridge)
		}
		if subnet == "" || !errdefs.IsPermissionDenied(err) {
			return err
		}
		p.subnets.pass(name)
		if left <= 0 {
			return err
		}
		if subnet, err = p.subnets.take(name); err != nil {
			return err
		}
	}
}

// bridge is the guard's name for the host's interface of a sandbox's network, "" if
// there is no guard.
func (p *Pool) bridge(name string) string {
	if p.config.Guard == nil {
		return ""
	}
	return p.config.Guard.Bridge(name)
}

// guarded is nil if the guard, if any, lets sandboxes use a network.
func (p *Pool) guarded(ctx context.Context, bridge string) error {
	if p.config.Guard == nil {
		return nil
	}
	return p.config.Guard.Guarded(ctx, bridge)
}

// join gives a sandbox its network, unless a holder has it, which it then returns.
// That takes as long as the boot of its engine, and so both are done at once.
func (p *Pool) join(ctx context.Context, name, id, holder string) (held engine.Container, err error) {
	if holder != "" {
		return p.held(ctx, holder)
	}
	if err = p.host.Join(ctx, NetworkName(name), id); err == nil {
		fault.Point("pool.boot.joined")
	}
	return held, err
}

// labels of all that is made for a sandbox.
func (p *Pool) labels(name, generation string) map[string]string {
	return map[string]string{engine.LabelInstance: p.config.Instance, engine.LabelSandbox: name,
		engine.LabelGeneration: generation, engine.LabelFolder: p.config.Dir}
}
