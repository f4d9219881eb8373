package doctor

import (
	"cmp"
	"context"
	"net/netip"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostnet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// networks judges the ranges of the sandboxes' networks by the host's routes and the engine's
// networks.
func (p *examination) networks(ctx context.Context, parents []netip.Prefix) preflight.Line {
	n := preflight.Networks{Parents: parents, Configured: len(p.settings.DockerNetworkSubnet) > 0, Cut: sandbox.Subnets(parents), Wanted: p.sandboxes()}
	foreign, found, err := hostnet.Foreign(ctx, p.host, parents)
	if err != nil {
		return preflight.Line{Name: "networks", Verdict: preflight.Fail, Found: err.Error(), Do: "see whether the engine is well"}
	}
	for _, network := range found {
		prefix, err := netip.ParsePrefix(network.Subnet)
		switch {
		case err != nil:
		case network.Labels[engine.LabelInstance] == p.settings.Instance:
			n.Own = append(n.Own, prefix)
		default:
			n.Others = append(n.Others, prefix)
		}
	}
	n.Routes = foreign
	return n.Judge()
}

// mtu compares the packets of sandboxes to come, of the engine's networks and of the uplink.
func (p *examination) mtu(ctx context.Context, sandboxes int) preflight.Line {
	m := preflight.MTUs{Sandboxes: sandboxes, Uplink: hostnet.UplinkMTU(), Own: map[string]int{}, Others: map[string]int{}}
	networks, err := p.host.ListNetworks(ctx)
	if err != nil {
		return preflight.Line{Name: "MTU", Verdict: preflight.Fail, Found: err.Error(), Do: "see whether the engine is well"}
	}
	for _, network := range networks {
		switch mtu := cmp.Or(network.MTU, defaultMTU); {
		case network.Bridge == "":
		case network.Labels[engine.LabelInstance] == p.settings.Instance:
			m.Own[network.Name] = mtu
		default:
			m.Others[network.Name] = mtu
		}
	}
	return m.Judge()
}

// firewallLine tells whether pods are kept from this host.
func (p *examination) firewallLine(ctx context.Context) preflight.Line {
	s := p.settings
	f := preflight.Firewall{Disabled: s.PodFirewall == config.PodFirewallDisabled, Required: s.PodFirewall == config.PodFirewallRequired,
		Table: firewall.Table(s.Instance), Advice: firewall.Advice, HostPorts: s.PodsMayReachHost, Metadata: s.PodsMayReachMetadata}
	if !f.Disabled {
		f.Err = firewall.Try(p.setup.Firewall(s))
	}
	networks, err := p.host.ListNetworks(ctx)
	if f.Err == nil {
		f.Err = err
	}
	for _, network := range networks {
		if network.Bridge != "" {
			f.Networks = append(f.Networks, network.Bridge)
		}
	}
	return f.Judge(firewall.Here)
}
