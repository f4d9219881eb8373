// Package clusternet reads from the annotations of a pod how it is to join the network of
// its cluster. The annotations are text that every user of the cluster can write: nothing
// of them is ever run, and each value is taken out by a strict pattern and checked. The
// package decides only and does no I/O.
package clusternet

import (
	"fmt"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// The annotations that are read (protocol 6.1).
const (
	// Commands is the shell line of the tunnel mode.
	Commands = "interlink.eu/wstunnel-client-commands"
	// PreExec has the script of the full mesh, and behind it text of the user.
	PreExec = "slurm-job.vk.io/pre-exec"
	// Snippet is the WireGuard configuration of the full mesh once more.
	Snippet = "interlink.eu/wireguard-client-snippet"
	// MeshNetwork with the value disabled keeps a pod out of the full mesh.
	MeshNetwork = "interlink.eu/mesh-network"
	// PodVPN, whatever its value, means that the pod has another way into the cluster.
	PodVPN = "interlink.eu/pod-vpn"
)

// maxAnnotation is how many bytes of an annotation are read. Kubernetes has the same bound
// for all annotations of an object together.
const maxAnnotation = 256 << 10

// Mode is how a pod takes part in its cluster's network.
type Mode string

// The modes.
const (
	// ModeTunnel lets the cluster reach the pod's TCP ports.
	ModeTunnel Mode = "tunnel"
	// ModeMesh gives the pod an address of its own and routes to pods and services.
	ModeMesh Mode = "mesh"
)

// Wish is how a pod is to join its cluster's network.
type Wish struct {
	Mode Mode
	// Tunnel is what the sandbox's init is asked for.
	Tunnel initapi.Tunnel
	// Address by which the cluster knows the pod, "" if the create does not tell it.
	Address string
	// Nameservers of the cluster, and the domains that its names are completed with. A
	// tunnel has none.
	Nameservers, Search []string
	// ContactHost is the name by which the pod is found in the cluster, if it is told.
	ContactHost string
}

// Read returns the wish of a pod, nil if it has none. Warnings are about annotations that
// change nothing here. Faults name the annotation and the value; with them the wish is nil.
func Read(pod *v1.Pod, policy Policy) (*Wish, []string, field.ErrorList) {
	r := &reader{pod: pod, policy: policy}
	wish := r.wish()
	if len(r.faults) > 0 {
		return nil, r.warnings, r.faults
	}
	return wish, r.warnings, nil
}

// Forget drops the annotations from a pod that has ended: they have its keys.
func Forget(pod *v1.Pod) {
	for _, name := range []string{Commands, PreExec, Snippet} {
		delete(pod.Annotations, name)
	}
}

// reader collects what is wrong with the annotations of one pod.
type reader struct {
	pod      *v1.Pod
	policy   Policy
	warnings []string
	faults   field.ErrorList
}

// wish of the pod. What it returns counts only if there are no faults.
func (r *reader) wish() *Wish {
	notes := r.pod.Annotations
	if _, other := notes[PodVPN]; other {
		return nil
	}
	for _, name := range []string{Commands, PreExec, Snippet} {
		if size := len(notes[name]); size > maxAnnotation {
			r.fault(name, "has %d bytes, %d are read at most", size, maxAnnotation)
		}
	}
	if len(r.faults) > 0 {
		return nil
	}
	if notes[MeshNetwork] != "disabled" && (notes[PreExec] != "" || notes[Snippet] != "") {
		if wish := r.mesh(); wish != nil || len(r.faults) > 0 {
			return wish
		}
	}
	if notes[Commands] != "" {
		return r.tunnel()
	}
	return nil
}

// tunnel is the wish of tunnel mode.
func (r *reader) tunnel() *Wish {
	command, err := readCommands(r.pod.Annotations[Commands])
	if err != nil {
		r.fault(Commands, "%s", err)
		return nil
	}
	if len(command.forward) > 0 {
		r.fault(Commands, "-L %s: a forward tunnel is possible in the full mesh only", shown(command.forward[0]))
		return nil
	}
	reverse, err := reversePorts(command.reverse)
	if err != nil {
		r.fault(Commands, "%s", err)
		return nil
	}
	if len(reverse) == 0 {
		r.warn(Commands, "names no TCP port, so there is nothing to make a tunnel for")
		return nil
	}
	out := &Wish{Mode: ModeTunnel, Tunnel: initapi.Tunnel{Reverse: reverse}}
	r.connect(Commands, command, out)
	return out
}

// connect adds what the way to the server needs.
func (r *reader) connect(annotation string, c command, out *Wish) {
	server, err := r.policy.server(c.server)
	if err != nil {
		r.fault(annotation, "%s", err)
		return
	}
	if r.policy.Unable != "" {
		r.fault(annotation, "this node cannot join a pod to the network of its cluster: %s", r.policy.Unable)
	}
	out.Tunnel.Server, out.Tunnel.PathPrefix = server.String(), c.prefix
	if out.Tunnel.Proxy, err = r.policy.proxyFor(server); err != nil {
		r.fault(annotation, "%s", err)
	}
	if server.scheme == secure {
		out.Tunnel.CAs, out.Tunnel.Insecure = r.policy.CAs, r.policy.Insecure && !c.verify
	}
	if address := r.address(); address.IsValid() {
		out.Address = address.String()
		out.Tunnel.Own = []string{netip.PrefixFrom(address, address.BitLen()).String()}
	}
	if c.proxy {
		r.warn(annotation, "names a proxy, which is ignored: proxies are set on the node")
	}
}

// address by which the cluster knows the pod: that of its shadow, which the Virtual
// Kubelet has put into the status (protocol 3). 127.0.0.1 stands there for a pod
// without one.
func (r *reader) address() netip.Addr {
	address, err := netip.ParseAddr(r.pod.Status.PodIP)
	if err != nil || address.Zone() != "" || !address.IsGlobalUnicast() {
		return netip.Addr{}
	}
	if r.policy.route(netip.PrefixFrom(address, address.BitLen())) != nil {
		return netip.Addr{}
	}
	return address
}

// fault adds what is wrong with an annotation.
func (r *reader) fault(annotation, format string, args ...any) {
	r.faults = append(r.faults, field.Invalid(where(annotation), field.OmitValueType{}, fmt.Sprintf(format, args...)))
}

// warn adds what an annotation says in vain.
func (r *reader) warn(annotation, format string, args ...any) {
	r.warnings = append(r.warnings, where(annotation).String()+": "+fmt.Sprintf(format, args...))
}

func where(annotation string) *field.Path {
	return field.NewPath("metadata", "annotations").Key(annotation)
}
