package podspec

import (
	"math"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// pod checks the fields of the pod as a whole.
func (f *faults) pod(pod *v1.Pod) {
	at, spec := field.NewPath("spec"), &pod.Spec
	if len(spec.Containers) == 0 {
		f.list = append(f.list, field.Required(at.Child("containers"), "the pod has none"))
	}
	f.oneOf(at.Child("restartPolicy"), string(spec.RestartPolicy),
		string(v1.RestartPolicyAlways), string(v1.RestartPolicyOnFailure), string(v1.RestartPolicyNever), "")
	f.between(at.Child("terminationGracePeriodSeconds"), ptr.Deref(spec.TerminationGracePeriodSeconds, 0), 0, math.MaxInt32)
	f.between(at.Child("activeDeadlineSeconds"), ptr.Deref(spec.ActiveDeadlineSeconds, 1), 1, math.MaxInt32)
	if spec.HostPID && ptr.Deref(spec.ShareProcessNamespace, false) {
		f.invalid(at.Child("shareProcessNamespace"), "cannot be true together with hostPID; leave one of them out")
	}
	f.hostnameOverride(spec)
	if spec.Hostname != "" {
		f.label(at.Child("hostname"), spec.Hostname)
	}
	if spec.Subdomain != "" {
		f.label(at.Child("subdomain"), spec.Subdomain)
	}
	// A kernel keeps 64 characters; kubelet does not start such a pod either.
	if name := Hostname(pod); ptr.Deref(spec.SetHostnameAsFQDN, false) && len(name) > 64 {
		f.invalid(at.Child("setHostnameAsFQDN"), "the name %s has %d characters, 64 are possible; shorten the hostname or the subdomain of the pod",
			shown(name), len(name))
	}
	for i, alias := range spec.HostAliases {
		at := at.Child("hostAliases").Index(i)
		f.ip(at.Child("ip"), alias.IP)
		for j, name := range alias.Hostnames {
			if len(validation.IsDNS1123Subdomain(name)) > 0 {
				f.invalid(at.Child("hostnames").Index(j), "%s is not a host name", shown(name))
			}
		}
	}
}

// hostnameOverride checks the name as the API of Kubernetes 1.36 does.
func (f *faults) hostnameOverride(spec *v1.PodSpec) {
	if spec.HostnameOverride == nil {
		return
	}
	at, name := field.NewPath("spec", "hostnameOverride"), *spec.HostnameOverride
	if len(name) > 64 {
		f.invalid(at, "the name has %d characters, 64 are possible", len(name))
	} else {
		f.domain(at, name)
	}
	if ptr.Deref(spec.SetHostnameAsFQDN, false) {
		f.invalid(at, "cannot be set together with setHostnameAsFQDN")
	}
	if spec.HostNetwork {
		f.invalid(at, "cannot be set together with hostNetwork")
	}
}

// Limits of the Kubernetes API for dnsConfig.
const (
	maxNameservers  = 3
	maxSearches     = 32
	maxSearchesText = 2048
)

// dns checks dnsPolicy and dnsConfig, which become lines of resolv.conf.
func (f *faults) dns(pod *v1.Pod) {
	f.oneOf(field.NewPath("spec", "dnsPolicy"), string(pod.Spec.DNSPolicy),
		string(v1.DNSClusterFirst), string(v1.DNSClusterFirstWithHostNet), string(v1.DNSDefault), string(v1.DNSNone), "")
	at, config := field.NewPath("spec", "dnsConfig"), pod.Spec.DNSConfig
	if pod.Spec.DNSPolicy == v1.DNSNone && (config == nil || len(config.Nameservers) == 0) {
		f.invalid(at.Child("nameservers"), "dnsPolicy None needs at least one")
	}
	if config == nil {
		return
	}
	if n := len(config.Nameservers); n > maxNameservers {
		f.invalid(at.Child("nameservers"), "has %d entries, %d are possible", n, maxNameservers)
	}
	for i, server := range config.Nameservers {
		f.ip(at.Child("nameservers").Index(i), server)
	}
	if n, text := len(config.Searches), len(strings.Join(config.Searches, " ")); n > maxSearches || text > maxSearchesText {
		f.invalid(at.Child("searches"), "has %d entries with %d characters, %d with %d are possible", n, text, maxSearches, maxSearchesText)
	}
	for i, search := range config.Searches {
		if search != "." && len(validation.IsDNS1123SubdomainWithUnderscore(strings.TrimSuffix(search, "."))) > 0 {
			f.invalid(at.Child("searches").Index(i), "%s is not a domain", shown(search))
		}
	}
	for i, option := range config.Options {
		text := option.Name
		if option.Value != nil {
			text += ":" + *option.Value
		}
		if option.Name == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			f.invalid(at.Child("options").Index(i), "%s is not an option of resolv.conf", shown(text))
		}
	}
}

// podSecurity checks the security context of the pod.
func (f *faults) podSecurity(pod *v1.Pod, node Node) {
	if pod.Spec.HostNetwork && !node.HostNetworkIsSandbox {
		f.forbid(field.NewPath("spec", "hostNetwork"), "is the network of the host, which no pod of this node gets; "+
			"leave it out and publish ports with hostPort, or ask the operator of this node for HostNetworkIsSandbox")
	}
	shared := pod.Spec.SecurityContext
	if shared == nil {
		return
	}
	at := field.NewPath("spec", "securityContext")
	f.id(at.Child("runAsUser"), shared.RunAsUser)
	f.id(at.Child("runAsGroup"), shared.RunAsGroup)
	f.id(at.Child("fsGroup"), shared.FSGroup)
	for i := range shared.SupplementalGroups {
		f.id(at.Child("supplementalGroups").Index(i), &shared.SupplementalGroups[i])
	}
	f.oneOf(at.Child("supplementalGroupsPolicy"), string(ptr.Deref(shared.SupplementalGroupsPolicy, "")),
		string(v1.SupplementalGroupsPolicyMerge), string(v1.SupplementalGroupsPolicyStrict), "")
	f.profiles(at, shared.SeccompProfile, shared.AppArmorProfile, node)
	f.sysctls(shared.Sysctls, node)
}
