// Package hostnet knows which networks this host reaches, and which ranges are free for
// those of sandboxes.
package hostnet

import (
	"context"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/containerd/containerd/log"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/prometheus/procfs"
)

// defaultNetworks are where sandboxes live unless DockerNetworkSubnet says
// otherwise: each has room for 512 of them, and none is among the engine's own
// address pools, which about 30 networks use up.
var defaultNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.213.0.0/19"), netip.MustParsePrefix("100.90.0.0/19"), netip.MustParsePrefix("198.18.0.0/19"),
}

// Engine is the host's, which knows its networks.
type Engine interface {
	ListNetworks(ctx context.Context, labels ...string) ([]engine.Network, error)
}

// SandboxRanges are the ranges that the networks of sandboxes are cut from: those that are
// configured, or else a default one that no route of this host overlaps. None leaves the
// choice to the engine.
func SandboxRanges(ctx context.Context, configured []netip.Prefix, host Engine) []netip.Prefix {
	if len(configured) > 0 {
		return configured
	}
	routes, err := foreignRoutes(ctx, host)
	if err != nil {
		log.G(ctx).WithError(err).Debug("this machine's routes are not known")
	}
	chosen, ok := freeOf(routes, defaultNetworks)
	if !ok {
		log.G(ctx).Warn("every default range for sandbox networks overlaps a route of this machine, so the engine chooses, and its address pools end at about 30 networks: set DockerNetworkSubnet")
		return nil
	}
	log.G(ctx).WithField("subnet", chosen).Info("sandbox networks are cut from a default range, because DockerNetworkSubnet is not set")
	return []netip.Prefix{chosen}
}

// freeOf returns the first candidate that no route overlaps.
func freeOf(routes, candidates []netip.Prefix) (netip.Prefix, bool) {
	for _, candidate := range candidates {
		if !slices.ContainsFunc(routes, candidate.Overlaps) {
			return candidate, true
		}
	}
	return netip.Prefix{}, false
}

// foreignRoutes are this machine's without those of the engine's own networks:
// it refuses to overlap these itself, and sandboxes of an earlier run are among
// them. The networks of another engine on this machine it does not know.
func foreignRoutes(ctx context.Context, host Engine) ([]netip.Prefix, error) {
	routes, err := Routes("/proc")
	if err != nil {
		return nil, err
	}
	networks, err := host.ListNetworks(ctx)
	for _, network := range networks {
		if own, err := netip.ParsePrefix(network.Subnet); err == nil {
			routes = slices.DeleteFunc(routes, func(route netip.Prefix) bool { return route == own.Masked() })
		}
	}
	return routes, err
}

// Routes are the networks that this machine reaches by a route of their own, as
// the folder proc, /proc say, has them. The default route is none of them.
func Routes(proc string) ([]netip.Prefix, error) {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return nil, err
	}
	lines, err := fs.NetRoute()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, line := range lines {
		if line.Mask == 0 {
			continue
		}
		// The kernel prints addresses in network order as if they were numbers of its own.
		var address [4]byte
		binary.NativeEndian.PutUint32(address[:], line.Destination)
		out = append(out, netip.PrefixFrom(netip.AddrFrom4(address), bits.OnesCount32(line.Mask)))
	}
	return out, nil
}
