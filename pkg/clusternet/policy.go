package clusternet

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Policy is what the administrator of the node says of the networks of clusters.
type Policy struct {
	// Off says that no pod joins one.
	Off bool
	// Unable is why this node can join no pod, "" if it can. A pod that is to join is refused.
	Unable string
	// Servers that tunnels may lead to, as patterns of host names and as CIDRs; empty
	// allows any.
	Servers []string
	// CAs of servers, as PEM, beside those of the system.
	CAs string
	// Insecure leaves certificates of servers unchecked.
	Insecure bool
	// Proxy is that on the way to an http or https URL, nil for none; nil means never one.
	Proxy func(*url.URL) (*url.URL, error)
	// Host are the host's own networks and addresses, Sandboxes the ranges of sandboxes.
	Host, Sandboxes []netip.Prefix
}

// The schemes of a server's URL.
const (
	plain  = "ws"
	secure = "wss"
)

// server is a wstunnel server that is well formed.
type server struct {
	scheme string
	host   string
	port   uint16
}

// String is the server's URL.
func (s server) String() string { return s.scheme + "://" + hostPort(s.host, s.port) }

// server reads the URL of a server and refuses one that is not on the list.
func (p Policy) server(text string) (server, error) {
	s, err := readServer(text)
	if err != nil {
		return server{}, err
	}
	if !p.allows(s.host) {
		return server{}, fmt.Errorf("the server %s is none of those that the operator of this node allows (ClusterNetworkServers)", shown(s.host))
	}
	return s, nil
}

// allows says whether a tunnel may lead to a host.
func (p Policy) allows(host string) bool {
	if len(p.Servers) == 0 {
		return true
	}
	address, err := netip.ParseAddr(host)
	return slices.ContainsFunc(p.Servers, func(entry string) bool {
		if network, isNetwork := network(entry); isNetwork {
			return err == nil && network.Contains(address.Unmap())
		}
		match, bad := path.Match(strings.ToLower(entry), host)
		return bad == nil && match
	})
}

// network is an entry that is a CIDR or an address.
func network(entry string) (netip.Prefix, bool) {
	if address, err := netip.ParseAddr(entry); err == nil && address.Zone() == "" {
		return netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()), true
	}
	prefix, err := netip.ParsePrefix(entry)
	return prefix.Masked(), err == nil
}

// proxyFor is the URL of the proxy on the way to a server, "" for none.
func (p Policy) proxyFor(s server) (string, error) {
	if p.Proxy == nil {
		return "", nil
	}
	scheme := "http"
	if s.scheme == secure {
		scheme = "https"
	}
	proxy, err := p.Proxy(&url.URL{Scheme: scheme, Host: hostPort(s.host, s.port)})
	if err != nil {
		return "", fmt.Errorf("the proxy on the way to the server %s is not usable, tell the operator of this node", shown(s.host))
	}
	if proxy == nil {
		return "", nil
	}
	return proxy.String(), nil
}

// route says what is wrong with a network that packets of the pod would be sent into.
func (p Policy) route(prefix netip.Prefix) error {
	if err := allowedNetwork(prefix); err != nil {
		return err
	}
	for _, host := range p.Host {
		if covers(prefix, host) {
			return fmt.Errorf("%s covers %s, a network of this node", prefix, host)
		}
	}
	for _, sandboxes := range p.Sandboxes {
		if prefix.Overlaps(sandboxes) {
			return fmt.Errorf("%s overlaps %s, the networks of this node's sandboxes; its operator can move them with DockerNetworkSubnet", prefix, sandboxes)
		}
	}
	return nil
}

// leastBits of a network: no set of the routes that a pod may have is all of the internet.
const leastBits, leastBits6 = 8, 16

// never are networks that mean something else on each machine.
var never = []struct {
	prefix netip.Prefix
	name   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local addresses"},
	{netip.MustParsePrefix("224.0.0.0/3"), "multicast and reserved addresses"},
	{netip.MustParsePrefix("::/96"), "loopback"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4 addresses in IPv6"},
	{netip.MustParsePrefix("fe80::/10"), "link-local addresses"},
	{netip.MustParsePrefix("ff00::/8"), "multicast addresses"},
}

// allowedNetwork says what is wrong with a network whatever the node.
func allowedNetwork(prefix netip.Prefix) error {
	if prefix.Bits() == 0 {
		return fmt.Errorf("%s is the default route", prefix)
	}
	for _, other := range never {
		if prefix.Overlaps(other.prefix) {
			return fmt.Errorf("%s has %s in it (%s)", prefix, other.name, other.prefix)
		}
	}
	least := leastBits
	if prefix.Addr().Is6() {
		least = leastBits6
	}
	if prefix.Bits() < least {
		return fmt.Errorf("%s is wider than a /%d", prefix, least)
	}
	return nil
}

// covers says that all of inner is in outer.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Overlaps(inner)
}
