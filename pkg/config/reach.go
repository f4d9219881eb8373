package config

import (
	"net/netip"
	"strconv"
	"strings"
)

const reachRule = "a port of the host such as 3128, 3128/tcp, 514/udp, 192.0.2.1:3128 or [2001:db8::1]:514/udp, or all"

// HostPort is a port of the host that pods may reach.
type HostPort struct {
	// Address of the host's; the zero value means all of them.
	Address netip.Addr
	Port    uint16
	UDP     bool
}

// HostPorts are what PodsMayReachHost names; all means every port.
func (c Config) HostPorts() (ports []HostPort, all bool, err error) {
	for _, entry := range c.PodsMayReachHost {
		if entry == "all" {
			all = true
			continue
		}
		port, ok := hostPort(entry)
		if !ok {
			return nil, false, invalid("PodsMayReachHost", entry, reachRule)
		}
		ports = append(ports, port)
	}
	return ports, all, nil
}

func hostPort(entry string) (out HostPort, ok bool) {
	place, protocol, named := strings.Cut(entry, "/")
	if named && protocol != "tcp" && protocol != "udp" {
		return out, false
	}
	out.UDP = protocol == "udp"
	if at, err := netip.ParseAddrPort(place); err == nil {
		out.Address, out.Port = at.Addr().Unmap(), at.Port()
		return out, out.Port > 0 && out.Address.Zone() == "" && !out.Address.IsUnspecified()
	}
	number, err := strconv.ParseUint(place, 10, 16)
	out.Port = uint16(number)
	return out, err == nil && number > 0
}
