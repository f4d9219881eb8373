package preflight

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Networks is what decides how many sandboxes can have a network.
type Networks struct {
	// Parents are what sandbox networks are cut from; none leaves the choice to the
	// engine. Configured says that they are DockerNetworkSubnet's.
	Parents    []netip.Prefix
	Configured bool
	// Cut are the networks that they are cut into.
	Cut []netip.Prefix
	// Routes are this host's, without those of the engine's networks.
	Routes []netip.Prefix
	// Own are the networks of this docker-sd's sandboxes, Others all others of the engine.
	Own, Others []netip.Prefix
	// Wanted is how many sandboxes there may be at once.
	Wanted int
}

// enginePools is how many networks the engine's own address pools are good for.
const enginePools = 30

// Judge tells whether the networks suffice.
func (n Networks) Judge() Line {
	const name = "networks"
	if len(n.Parents) == 0 {
		return warn(name, "set DockerNetworkSubnet to a range that nothing else uses, a /19 is good for 512 sandboxes",
			"every default range for sandbox networks overlaps a route of this host, so the engine chooses, and its address pools end at about %d networks; up to %d sandboxes are wanted", enginePools, n.Wanted)
	}
	free, blocked := 0, []netip.Prefix{}
	for _, prefix := range n.Cut {
		if at := slices.IndexFunc(n.Others, prefix.Overlaps); at >= 0 {
			if !slices.Contains(blocked, n.Others[at]) {
				blocked = append(blocked, n.Others[at])
			}
		} else if !slices.ContainsFunc(n.Own, prefix.Overlaps) {
			free++
		}
	}
	used, whose := len(n.Own), "the default range "
	if n.Configured {
		whose = "DockerNetworkSubnet "
	}
	ranges := whose + list(n.Parents)
	var clashes []netip.Prefix
	for _, route := range n.Routes {
		if slices.ContainsFunc(n.Parents, route.Overlaps) {
			clashes = append(clashes, route)
		}
	}
	others := ""
	if len(blocked) > 0 {
		others = "; other networks of the engine use " + list(blocked[:min(len(blocked), 3)])
		if more := len(blocked) - 3; more > 0 {
			others += fmt.Sprintf(" and %d more", more)
		}
	}
	switch {
	case len(clashes) > 0:
		return fail(name, "set DockerNetworkSubnet to a range that nothing else uses", "%s overlaps what this host reaches by the routes to %s: pods would not reach that, nor be reached", ranges, list(clashes))
	case free == 0 && used == 0:
		return fail(name, "widen DockerNetworkSubnet, or remove networks with docker network prune", "%s has no network left for a sandbox%s", ranges, others)
	case free+used < n.Wanted:
		return warn(name, "widen DockerNetworkSubnet, or lower MaxPods", "%s: %d networks are free and %d in use by sandboxes, but up to %d sandboxes are wanted (MaxPods, AVAILABLEDINDS, StandbySandboxes and NetworkHolders)%s", ranges, free, used, n.Wanted, others)
	}
	return ok(name, "%s: %d networks are free, %d in use by sandboxes; up to %d are wanted%s", ranges, free, used, n.Wanted, others)
}

// MTUs are the largest packets, in bytes: of the networks that sandboxes get, of the host's
// uplink, and of the networks that the engine has, by name. 0 is one that is not known.
type MTUs struct {
	Sandboxes, Uplink int
	// Own are of sandboxes that are there, Others of others' containers.
	Own, Others map[string]int
}

// Judge tells whether the uplink carries the packets.
func (m MTUs) Judge() Line {
	const name = "MTU"
	larger := func(networks map[string]int) []string {
		var out []string
		for _, network := range slices.Sorted(maps.Keys(networks)) {
			if networks[network] > m.Uplink {
				out = append(out, fmt.Sprintf("%s (%d)", network, networks[network]))
			}
		}
		return out
	}
	switch own, others := larger(m.Own), larger(m.Others); {
	case m.Uplink == 0:
		return ok(name, "%d bytes in the networks of sandboxes; the host has no default route", m.Sandboxes)
	case m.Sandboxes > m.Uplink:
		return warn(name, "set NetworkMTU to 0 or to the uplink's", "%d bytes in the networks of sandboxes, but %d on the host's uplink: connections of pods may hang", m.Sandboxes, m.Uplink)
	case len(own) > 0:
		return warn(name, "restart docker-sd, which makes the pool anew; pods that run keep their network until they end",
			"%d bytes on the host's uplink, and the networks of %d sandboxes have more: connections of their pods may hang", m.Uplink, len(own))
	case len(others) > 0:
		return warn(name, fmt.Sprintf(`set "mtu": %d in /etc/docker/daemon.json for the network bridge, and com.docker.network.driver.mtu for others; pods are not concerned`, m.Uplink),
			"%d bytes in the networks of sandboxes, %d on the host's uplink; other networks of the engine have more, and connections of their containers may hang: %s",
			m.Sandboxes, m.Uplink, strings.Join(others, ", "))
	}
	return ok(name, "%d bytes in the networks of sandboxes, %d on the host's uplink", m.Sandboxes, m.Uplink)
}

func list(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// ClusterNetwork says whether pods can join the networks of their clusters; device is what
// is wrong with /dev/net/tun, nil if nothing is.
func ClusterNetwork(on bool, device error) Line {
	const name = "cluster network"
	switch {
	case !on:
		return ok(name, "off: pods that have a tunnel or a full mesh run without it")
	case device != nil:
		return warn(name, "load the kernel's module tun, or set ClusterNetwork to off if no pod needs it", "pods with a tunnel or a full mesh are refused: %v", device)
	}
	return ok(name, "pods with a tunnel or a full mesh can join the network of their cluster")
}
