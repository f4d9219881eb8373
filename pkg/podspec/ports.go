package podspec

import (
	"cmp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// HostPorts lists what a pod wants published on the host.
func HostPorts(pod *v1.Pod) []engine.Port {
	var out []engine.Port
	for _, c := range Containers(pod) {
		for _, port := range c.Ports {
			if port.HostPort == 0 {
				continue
			}
			if wanted := portOf(port); !slices.Contains(out, wanted) {
				out = append(out, wanted)
			}
		}
	}
	return out
}

// portOf is a port of a container as the engine publishes it.
func portOf(port v1.ContainerPort) engine.Port {
	return engine.Port{HostIP: port.HostIP, Host: uint16(port.HostPort), Container: uint16(port.ContainerPort),
		Protocol: cmp.Or(strings.ToLower(string(port.Protocol)), "tcp")}
}

// SamePort tells whether two cannot be published at the same time.
func SamePort(a, b engine.Port) bool {
	anywhere := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	return a.Host == b.Host && a.Protocol == b.Protocol &&
		(a.HostIP == b.HostIP || anywhere(a.HostIP) || anywhere(b.HostIP))
}
