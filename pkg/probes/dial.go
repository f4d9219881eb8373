package probes

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// address returns the host and the port of a handler. The host is the pod unless another one is named. A loopback
// host means the loopback of the pod, where a pod of the host network has it, and never the one of this daemon.
func (t Target) address(host string, port intstr.IntOrString) (string, int, error) {
	number, err := portNumber(t.Container, port)
	if err != nil {
		return "", 0, err
	}
	if host == "" || isLoopbackName(host) {
		host = t.PodIP()
	}
	if host == "" {
		return "", 0, fmt.Errorf("the pod of container %s has no address yet", t.Container.Name)
	}
	return host, number, nil
}

// portNumber resolves a port as kubelet does: a number, the name of a port of the container, or a number written
// as a string.
func portNumber(c *v1.Container, port intstr.IntOrString) (int, error) {
	number := port.IntValue()
	if port.Type == intstr.String {
		for _, p := range c.Ports {
			if p.Name == port.StrVal {
				number = int(p.ContainerPort)
				break
			}
		}
	}
	if number < 1 || number > 65535 {
		return 0, fmt.Errorf("port %s is neither a number from 1 to 65535 nor the name of a port of container %s",
			cmp.Or(port.String(), "without a name"), c.Name)
	}
	return number, nil
}

func isLoopbackName(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && isLocal(ip)
}

// isLocal says whether a connection to ip ends on this very machine; Linux takes the unspecified address for it too.
func isLocal(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsUnspecified()
}

// dialer connects to pods. It refuses the loopback of the daemon, whatever name led there: the sidecar listens there
// without authentication (protocol 1.1) and the author of a pod must not reach it.
func dialer(podIP string) *net.Dialer {
	pod, err := netip.ParseAddr(podIP)
	if err == nil && isLocal(pod) {
		return &net.Dialer{}
	}
	return &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("read the address to connect to: %w", err)
		}
		if isLocal(to.Addr()) {
			return fmt.Errorf("connecting to %s is refused: it is not in the pod", address)
		}
		return nil
	}}
}
