package podspec

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Hostname of a pod's containers, as kubelet sets it.
func Hostname(pod *v1.Pod) string {
	if override := pod.Spec.HostnameOverride; override != nil {
		return strings.TrimRight((*override)[:min(len(*override), 64)], "-.")
	}
	name := shortHostname(pod)
	if ptr.Deref(pod.Spec.SetHostnameAsFQDN, false) {
		return fqdn(pod, name)
	}
	return name
}

// shortHostname has at most 63 characters and does not end in "-" or ".".
func shortHostname(pod *v1.Pod) string {
	name := pod.Name
	if pod.Spec.Hostname != "" {
		name = pod.Spec.Hostname
	}
	return strings.TrimRight(name[:min(len(name), 63)], "-.")
}

// fqdn exists only for a pod with a subdomain.
func fqdn(pod *v1.Pod, name string) string {
	if pod.Spec.Subdomain == "" {
		return name
	}
	return fmt.Sprintf("%s.%s.%s.svc.%s", name, pod.Spec.Subdomain, pod.Namespace, clusterDomain)
}

const clusterDomain = "cluster.local"

// HostsFile is the pod's /etc/hosts, as kubelet writes it.
func HostsFile(pod *v1.Pod, ip string) string {
	var b strings.Builder
	b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
	short := shortHostname(pod)
	switch long := fqdn(pod, short); {
	case pod.Spec.HostnameOverride != nil:
		fmt.Fprintf(&b, "%s\t%s\n", ip, Hostname(pod))
	case long != short:
		fmt.Fprintf(&b, "%s\t%s\t%s\n", ip, long, short)
	default:
		fmt.Fprintf(&b, "%s\t%s\n", ip, short)
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
	}
	for _, alias := range pod.Spec.HostAliases {
		fmt.Fprintf(&b, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
	}
	return b.String()
}

// sandboxResolver answers in every sandbox network: the host engine's own DNS.
const sandboxResolver = "127.0.0.11"

// resolver applies dnsPolicy and dnsConfig for a pod that has joined no cluster's
// network: there is no cluster DNS, so every policy but None means the host's resolver
// (kubelet's Default). See Cluster for the others.
func resolver(spec *engine.Spec, pod *v1.Pod) {
	config := pod.Spec.DNSConfig
	if config == nil {
		return
	}
	spec.DNS = config.Nameservers
	if pod.Spec.DNSPolicy != v1.DNSNone && len(spec.DNS) > 0 {
		spec.DNS = append([]string{sandboxResolver}, spec.DNS...) // added to, not replaced
	}
	spec.DNSSearch = config.Searches
	if pod.Spec.DNSPolicy == v1.DNSNone && len(spec.DNSSearch) == 0 {
		spec.DNSSearch = []string{"."}
	}
	spec.DNSOptions = dnsOptions(config.Options)
}

// dnsOptions as resolv.conf has them.
func dnsOptions(options []v1.PodDNSConfigOption) []string {
	var out []string
	for _, option := range options {
		text := option.Name
		if option.Value != nil {
			text += ":" + *option.Value
		}
		out = append(out, text)
	}
	return out
}
