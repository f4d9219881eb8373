package pool

import "net/netip"

// Networks lists the sandbox networks that parents are cut into.
func Networks(parents []netip.Prefix) []netip.Prefix { return newSubnets(parents).free }
