// Package hostnet knows which networks this host reaches, and which ranges are free for
// those of sandboxes.
package hostnet

import (
	"context"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
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
	routes, _, err := Foreign(ctx, host, defaultNetworks)
	if err != nil {
		log.G(ctx).WithError(err).Debug("which routes of this machine are not the engine's is not known")
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

// looks is how often a route has to be seen without a network of the engine, and lookPause
// the time between: a network that is made or removed has one of the two for a moment.
const (
	looks     = 3
	lookPause = 200 * time.Millisecond
)

// Foreign returns the routes of this machine that overlap one of the ranges and are not
// those of the engine's own networks, and these networks: the engine refuses to overlap
// them itself, and sandboxes of an earlier run are among them. The networks of another
// engine on this machine it does not know.
func Foreign(ctx context.Context, host Engine, ranges []netip.Prefix) ([]netip.Prefix, []engine.Network, error) {
	return foreign(ctx, host, ranges, func() ([]netip.Prefix, error) { return Routes("/proc") })
}

// foreign is Foreign with the source of the routes.
func foreign(ctx context.Context, host Engine, ranges []netip.Prefix, read func() ([]netip.Prefix, error)) (found []netip.Prefix, networks []engine.Network, err error) {
	for look := range looks {
		routes, err := read()
		if err != nil { // nothing is known to overlap
			log.G(ctx).WithError(err).Debug("this machine's routes are not known")
		}
		if networks, err = host.ListNetworks(ctx); err != nil {
			return nil, nil, err
		}
		seen := slices.DeleteFunc(routes, func(route netip.Prefix) bool {
			return !slices.ContainsFunc(ranges, route.Overlaps) || slices.ContainsFunc(networks, func(n engine.Network) bool { return subnetOf(n) == route })
		})
		if look > 0 {
			seen = slices.DeleteFunc(seen, func(route netip.Prefix) bool { return !slices.Contains(found, route) })
		}
		if found = seen; len(found) == 0 || look == looks-1 {
			break
		}
		if err := retry.Pause(ctx, lookPause); err != nil {
			return nil, nil, err
		}
	}
	return found, networks, nil
}

// subnetOf is the range of a network, the zero Prefix for none.
func subnetOf(n engine.Network) netip.Prefix {
	own, _ := netip.ParsePrefix(n.Subnet) // one that is no prefix is equal to no route
	return own.Masked()
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
