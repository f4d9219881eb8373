package firewall

import "net/netip"

// Endpoint is a port of the host that pods may reach.
type Endpoint struct {
	// Address of the host's; the zero value means all of them.
	Address netip.Addr
	Port    uint16
	UDP     bool
}

// Config of a Firewall.
type Config struct {
	// Instance names this docker-sd; its table and bridges are named after it.
	Instance string
	// Host are the host's ports that pods may reach; AnyHost means all of them.
	Host    []Endpoint
	AnyHost bool
	// Metadata lets pods reach the metadata services of clouds.
	Metadata bool
	// Required has no sandbox used that the rules do not cover.
	Required bool
	// Resolvers are the servers that names are asked of, which pods always may;
	// nil reads the host's resolver configuration.
	Resolvers func() []netip.Addr
}

// Metadata are the addresses at which clouds give a machine its credentials and
// user data.
var Metadata = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local: AWS, Google, Azure, OpenStack, Oracle and most others
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle, earlier
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's agent
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google
	netip.MustParsePrefix("fd00:42::42/128"),    // Scaleway
}
