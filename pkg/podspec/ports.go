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
			protocol := strings.ToLower(string(port.Protocol))
			wanted := engine.Port{HostIP: port.HostIP, Host: uint16(port.HostPort),
				Container: uint16(port.ContainerPort), Protocol: cmp.Or(protocol, "tcp")}
			if !slices.Contains(out, wanted) {
				out = append(out, wanted)
			}
		}
	}
	return out
}

// SamePort tells whether two cannot be published at the same time.
func SamePort(a, b engine.Port) bool {
	anywhere := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	return a.Host == b.Host && a.Protocol == b.Protocol &&
		(a.HostIP == b.HostIP || anywhere(a.HostIP) || anywhere(b.HostIP))
}
