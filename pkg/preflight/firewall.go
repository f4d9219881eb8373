package preflight

import (
	"slices"
	"strings"
)

// Firewall is what decides whether pods are kept from the host.
type Firewall struct {
	// Disabled and Required are PodFirewall's.
	Disabled, Required bool
	// HostPorts are PodsMayReachHost, Metadata is PodsMayReachMetadata.
	HostPorts []string
	Metadata  bool
	// Table has the rules.
	Table string
	// Networks are the host's interfaces of the engine's networks.
	Networks []string
	// Err says why the rules cannot be made, Advice what can be done.
	Err    error
	Advice string
}

// Judge tells what pods reach of the host. here says whether an interface can be
// seen from here.
func (f Firewall) Judge(here func(string) bool) Line {
	const name = "firewall"
	judged := warn
	if f.Required {
		judged = fail
	}
	elsewhere := len(f.Networks) > 0 && !slices.ContainsFunc(f.Networks, here)
	var open []string
	if len(f.HostPorts) > 0 {
		open = append(open, "the host's ports "+strings.Join(f.HostPorts, ", ")+" (PodsMayReachHost)")
	}
	if f.Metadata {
		open = append(open, "metadata services (PodsMayReachMetadata)")
	}
	switch {
	case f.Disabled:
		return warn(name, "set PodFirewall to enabled, or make rules of your own: see docs/security.md", "nothing keeps pods from this host's ports and from metadata services: PodFirewall is disabled")
	case f.Err != nil:
		return judged(name, f.Advice, "nothing would keep pods from this host's ports and from metadata services: %v", f.Err)
	case elsewhere:
		return judged(name, f.Advice, "nothing would keep pods from this host's ports and from metadata services: the engine's networks are in another network namespace than this program")
	case slices.Contains(f.HostPorts, "all"):
		return warn(name, "name the ports that pods need", "pods reach %s", strings.Join(open, ", "))
	case len(open) > 0:
		return ok(name, "pods are kept from this host, metadata services and each other by the nftables table %s, except %s", f.Table, strings.Join(open, ", "))
	}
	return ok(name, "pods are kept from this host, metadata services and each other by the nftables table %s", f.Table)
}
