package tunnel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// setUpLink gives the interface its addresses and routes. What is there is success.
func setUpLink(w initapi.WireGuard) error {
	routes, err := prefixes(w.Routes)
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName(w.Interface)
	if err != nil {
		return fmt.Errorf("find the interface %s: %w", w.Interface, err)
	}
	if err := checkRoutes(routes, link.Attrs().Index); err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(link, w.MTU); err != nil {
		return fmt.Errorf("give %s an MTU of %d: %w", w.Interface, w.MTU, err)
	}
	// A packet of more segments would be cut. A kernel that cannot be told has fewer with
	// an MTU from 1100 on.
	_ = netlink.LinkSetGSOMaxSegs(link, tunBatch)
	for _, text := range w.Addresses {
		address, err := netlink.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%q is no address: %w", text, err)
		}
		if err := netlink.AddrReplace(link, address); err != nil {
			return fmt.Errorf("give %s the address %s: %w", w.Interface, text, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("switch %s on: %w", w.Interface, err)
	}
	for _, prefix := range routes {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: netOf(prefix), Scope: netlink.SCOPE_LINK}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s to %s: %w", prefix, w.Interface, err)
		}
	}
	return nil
}

// addOwn gives the loopback interface the addresses by which the cluster knows the pod.
func addOwn(own []string) error {
	if len(own) == 0 {
		return nil
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	for _, text := range own {
		address, err := netlink.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%q is no address: %w", text, err)
		}
		if err := netlink.AddrReplace(lo, address); err != nil {
			return fmt.Errorf("have the sandbox know itself as %s: %w", text, err)
		}
	}
	return nil
}

// checkRoutes refuses routes that would take the sandbox's own network away, its gateway
// among it. One around it does not: the kernel takes the narrower one.
func checkRoutes(routes []netip.Prefix, own int) error {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list the sandbox's addresses: %w", err)
	}
	for _, a := range addresses {
		bits, _ := a.Mask.Size()
		address, known := netip.AddrFromSlice(a.IP)
		if !known || a.LinkIndex == own {
			continue
		}
		network := netip.PrefixFrom(address.Unmap(), bits).Masked()
		for _, route := range routes {
			if network.Contains(route.Addr()) && route.Bits() >= network.Bits() {
				return fmt.Errorf("the route %s lies in the sandbox's own network %s", route, network)
			}
		}
	}
	return nil
}

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// aroundRoutes has a socket to an address that the mesh's routes cover leave by the
// default route's interface all the same: the tunnel cannot run through itself.
func aroundRoutes(routes []netip.Prefix, address string, c syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // no address of the Internet's
	}
	covered := false
	for _, route := range routes {
		covered = covered || route.Contains(to.Addr().Unmap())
	}
	if !covered {
		return nil
	}
	name, err := uplink()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), name) })
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("reach %s beside the mesh's routes: %w", to.Addr(), err)
	}
	return nil
}

// uplink is the interface of the default route.
func uplink() (string, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return "", fmt.Errorf("list the routes: %w", err)
	}
	for _, route := range routes {
		if route.Dst != nil {
			if ones, _ := route.Dst.Mask.Size(); ones > 0 {
				continue
			}
		}
		link, err := netlink.LinkByIndex(route.LinkIndex)
		if err != nil {
			return "", fmt.Errorf("find the interface of the default route: %w", err)
		}
		return link.Attrs().Name, nil
	}
	return "", errors.New("the sandbox has no default route")
}
