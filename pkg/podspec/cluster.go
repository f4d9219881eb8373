package podspec

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Cluster is the network of a cluster that a pod has joined.
type Cluster struct {
	// Address by which the cluster knows the pod, "" if that is not known.
	Address string
	// Nameservers of the cluster, and the domains that kubelet would have the pod search.
	Nameservers, Search []string
	// ContactHost is the pod's name in the cluster, "" if it is not known.
	ContactHost string
}

// contactVariable is where interLink's full mesh tells a workload its name in the cluster.
const contactVariable = "INTERLINK_MESH_CONTACT_HOST"

// Join gives a container of the pod what it has of the cluster: its name servers, as
// dnsPolicy says, and the pod's name. A variable that the pod sets itself stays.
func (c Cluster) Join(spec *engine.Spec, pod *v1.Pod) {
	set := func(variable string) bool { return strings.HasPrefix(variable, contactVariable+"=") }
	if c.ContactHost != "" && !slices.ContainsFunc(spec.Env, set) {
		spec.Env = append(spec.Env, contactVariable+"="+c.ContactHost)
	}
	if len(c.Nameservers) > 0 && clusterFirst(pod) {
		c.resolver(spec, pod)
	}
}

// clusterFirst says that kubelet would have the pod ask the cluster's name servers.
func clusterFirst(pod *v1.Pod) bool {
	switch pod.Spec.DNSPolicy {
	case v1.DNSClusterFirstWithHostNet:
		return true
	case v1.DNSClusterFirst, "":
		return !pod.Spec.HostNetwork
	}
	return false
}

// resolver writes what kubelet writes for ClusterFirst, but for the host's own search
// domains. The cluster's servers are the only ones: the C library of Alpine asks all
// that it is given and takes the first answer, also where that is that there is no such
// name. What dnsConfig adds comes behind, and its options win.
func (c Cluster) resolver(spec *engine.Spec, pod *v1.Pod) {
	spec.DNS, spec.DNSSearch = slices.Clone(c.Nameservers), slices.Clone(c.Search)
	options := []v1.PodDNSConfigOption{{Name: "ndots", Value: new("5")}}
	if config := pod.Spec.DNSConfig; config != nil {
		spec.DNS, spec.DNSSearch = append(spec.DNS, config.Nameservers...), append(spec.DNSSearch, config.Searches...)
		for _, own := range config.Options {
			options = slices.DeleteFunc(options, func(o v1.PodDNSConfigOption) bool { return o.Name == own.Name })
		}
		options = append(options, config.Options...)
	}
	spec.DNS = firstOf(spec.DNS, maxNameservers)
	spec.DNSSearch = firstOf(spec.DNSSearch, maxSearches)
	spec.DNSOptions = dnsOptions(options)
}

// firstOf keeps the first of equal texts, and no more than most.
func firstOf(in []string, most int) []string {
	var out []string
	for _, text := range in {
		if len(out) < most && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
