package clusternet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// mesh is the wish of the full mesh, nil without a fault where the annotations have
// nothing of one.
func (r *reader) mesh() *Wish {
	text, err := r.meshText()
	if errors.Is(err, errNoScript) && r.pod.Annotations[Snippet] == "" {
		r.warn(PreExec, "is not run by this node")
		return nil
	}
	if err != nil {
		r.fault(PreExec, "%s", err)
		return nil
	}
	if r.pod.Annotations[Commands] != "" {
		r.warn(Commands, "is ignored, because the pod has a full mesh")
	}
	wg, err := text.interfaceOf(r.policy)
	if err != nil {
		r.fault(PreExec, "%s", err)
		return nil
	}
	out := &Wish{Mode: ModeMesh, Tunnel: initapi.Tunnel{WireGuard: wg.wish}}
	r.connect(PreExec, text.command, out)
	if err := wg.apart(text.command.server); err != nil {
		r.fault(PreExec, "%s", err)
	}
	if out.Nameservers, err = clusterServers(text.nameservers, wg.routes); err != nil {
		r.fault(PreExec, "%s", err)
	}
	if out.Search, err = searchOf(r.pod.Namespace, text.domain); err != nil {
		r.fault(PreExec, "%s", err)
	}
	if out.ContactHost = strings.ToLower(text.contact); out.ContactHost != "" && !validHost(out.ContactHost) {
		r.fault(PreExec, "the contact host %s is no host name", shown(text.contact))
	}
	return out
}

// meshText is what the script says, and where it has no WireGuard configuration, or not
// all of one, what the snippet says.
func (r *reader) meshText() (meshText, error) {
	script, err := scriptOf(r.pod.Annotations[PreExec])
	if err != nil {
		return meshText{}, err
	}
	read := readScript
	if isTemplate(script) {
		read = readTemplate
	}
	text, err := read(script)
	if err != nil {
		return meshText{}, err
	}
	if text.wireguard.complete() && (len(text.addresses) > 0 || text.wireguard.address != "") {
		return text, nil
	}
	snippet, err := readWireguard(r.pod.Annotations[Snippet])
	if err != nil {
		r.fault(Snippet, "%s", err)
	}
	text.wireguard = text.wireguard.or(snippet)
	return text, nil
}

// complete says that nothing is missing of what WireGuard needs.
func (w wireguard) complete() bool {
	return w.privateKey != "" && w.publicKey != "" && w.allowedIPs != ""
}

// meshInterface is a WireGuard interface that is checked.
type meshInterface struct {
	wish   *initapi.WireGuard
	routes []netip.Prefix
}

// The defaults of what a script may leave out.
const (
	defaultInterface = "wg0"
	defaultMTU       = 1280
)

// interfaceOf checks what a script says of WireGuard.
func (t meshText) interfaceOf(policy Policy) (meshInterface, error) {
	out := meshInterface{wish: &initapi.WireGuard{Interface: defaultInterface, MTU: defaultMTU}}
	w := out.wish
	allowed, err := readNetworks("AllowedIPs", t.wireguard.allowedIPs)
	if err != nil {
		return out, err
	}
	w.AllowedIPs = texts(allowed)
	if w.PrivateKey, err = readKey("PrivateKey", t.wireguard.privateKey); err != nil {
		return out, err
	}
	if w.PeerKey, err = readKey("PublicKey", t.wireguard.publicKey); err != nil {
		return out, err
	}
	if w.Remote, err = t.remote(); err != nil {
		return out, err
	}
	if t.iface != "" {
		if w.Interface, err = readInterface(t.iface); err != nil {
			return out, err
		}
	}
	if mtu := first(t.mtu, t.wireguard.mtu); mtu != "" {
		if w.MTU, err = readMTU(mtu); err != nil {
			return out, err
		}
	}
	if t.wireguard.keepalive != "" {
		if w.KeepaliveSeconds, err = readSeconds(t.wireguard.keepalive); err != nil {
			return out, err
		}
	}
	if w.Addresses, err = t.interfaceAddresses(policy); err != nil {
		return out, err
	}
	if out.routes, err = t.routesOf(policy); err != nil {
		return out, err
	}
	w.Routes = texts(out.routes)
	return out, nil
}

func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// remote is where the server finds the peer: the end of the forward tunnel that begins
// where the peer is told to be.
func (t meshText) remote() (string, error) {
	if len(t.command.reverse) > 0 || len(t.command.forward) != 1 {
		return "", errors.New("the full mesh needs one -L udp:// and no -R in the command of wstunnel")
	}
	text, udp := strings.CutPrefix(t.command.forward[0], "udp://")
	if !udp {
		return "", fmt.Errorf("-L %s: the full mesh needs udp://", shown(t.command.forward[0]))
	}
	text, _, _ = strings.Cut(text, "?")
	forward, err := readEnds(text, "127.0.0.1")
	if err != nil {
		return "", fmt.Errorf("-L %s: %w", shown(t.command.forward[0]), err)
	}
	if endpoint := t.wireguard.endpoint; endpoint != "" {
		at, err := netip.ParseAddrPort(endpoint)
		if err != nil || !at.Addr().IsLoopback() || at.Port() != forward.port {
			return "", fmt.Errorf("the Endpoint %s is not the begin of the tunnel, port %d of 127.0.0.1", shown(endpoint), forward.port)
		}
	}
	return hostPort(forward.host, forward.hostPort), nil
}

// interfaceAddresses are those of the pod in the mesh.
func (t meshText) interfaceAddresses(policy Policy) ([]string, error) {
	list := t.addresses
	if len(list) == 0 {
		list = items(strings.ReplaceAll(t.wireguard.address, " ", ""))
	}
	if len(list) == 0 || len(list) > maxNetworks {
		return nil, fmt.Errorf("names %d addresses of the interface, 1 to %d are possible", len(list), maxNetworks)
	}
	var out []string
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("the address %s of the interface is none such as 10.7.0.2/32", shown(text))
		}
		// The kernel makes a route of the network that an address is in.
		if err := policy.route(prefix.Masked()); err != nil {
			return nil, fmt.Errorf("the address %s of the interface: %w", shown(text), err)
		}
		out = append(out, prefix.String())
	}
	return out, nil
}

// routesOf are the networks that packets of the pod are sent into the mesh for.
func (t meshText) routesOf(policy Policy) ([]netip.Prefix, error) {
	if len(t.routes) == 0 || len(t.routes) > maxNetworks {
		return nil, fmt.Errorf("names %d routes, 1 to %d are possible", len(t.routes), maxNetworks)
	}
	var out []netip.Prefix
	for _, text := range t.routes {
		if text == "default" {
			text = "0.0.0.0/0"
		}
		prefix, err := readNetwork(text)
		if err == nil {
			err = policy.route(prefix)
		}
		if err != nil {
			return nil, fmt.Errorf("a route of the mesh: %w", err)
		}
		out = append(out, prefix)
	}
	return unique(out), nil
}

// apart refuses a server that would be reached through the mesh, and so through itself.
// Of a server with a name this is not known here.
func (m meshInterface) apart(text string) error {
	s, err := readServer(text)
	if err != nil {
		return nil // it is told already
	}
	address, err := netip.ParseAddr(s.host)
	if err != nil {
		return nil
	}
	for _, route := range m.routes {
		if route.Contains(address.Unmap()) {
			return fmt.Errorf("the server %s lies in the route %s of the mesh that it is the way into", address, route)
		}
	}
	return nil
}

// maxNameservers is how many resolv.conf takes.
const maxNameservers = 3

// clusterServers are the name servers that are asked through the mesh. The script names
// public ones besides, as a way out where the cluster's does not answer.
func clusterServers(texts []string, routes []netip.Prefix) ([]string, error) {
	var out []string
	for _, text := range texts {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return nil, fmt.Errorf("the name server %s is no address", shown(text))
		}
		for _, route := range routes {
			if route.Contains(address) && len(out) < maxNameservers {
				out = append(out, address.String())
				break
			}
		}
	}
	if len(out) == 0 && len(texts) > 0 {
		return nil, fmt.Errorf("the name server %s lies in none of the routes of the mesh, so it cannot be reached: "+
			"ServiceCIDR and PodCIDRCluster of the Virtual Kubelet have to cover DNSServiceIP", shown(texts[0]))
	}
	return out, nil
}

// defaultDomain is that of a cluster that does not say its own.
const defaultDomain = "cluster.local"

// searchOf are the domains that kubelet would have a pod of the namespace search.
func searchOf(namespace, domain string) ([]string, error) {
	if domain = strings.TrimSuffix(strings.ToLower(domain), "."); domain == "" {
		domain = defaultDomain
	}
	if len(validation.IsDNS1123Subdomain(domain)) > 0 {
		return nil, fmt.Errorf("the domain %s of the cluster is no DNS name", shown(domain))
	}
	return []string{namespace + ".svc." + domain, "svc." + domain, domain}, nil
}
