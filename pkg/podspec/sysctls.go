package podspec

import (
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// safeSysctls bear on the pod alone and take no memory beyond its limits: those of
// kubelet 1.36, on kernels from 4.15 on.
var safeSysctls = []string{
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ping_group_range",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_wmem",
}

var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

// namespacedSysctls are those that a pod has to itself, as in kubelet.
var namespacedSysctls = regexp.MustCompile(`^(kernel\.(shm|msg)|kernel\.sem$|fs\.mqueue\.|net\.)`)

// sysctls refuses those that are not the pod's own, and those that are not safe
// unless the operator allows them.
func (f *faults) sysctls(list []v1.Sysctl, node Node) {
	seen := map[string]bool{}
	for i, sysctl := range list {
		at, name := field.NewPath("spec", "securityContext", "sysctls").Index(i).Child("name"), dotted(sysctl.Name)
		switch {
		case !sysctlName.MatchString(sysctl.Name):
			f.invalid(at, "%s is not the name of a sysctl", shown(sysctl.Name))
		case !namespacedSysctls.MatchString(name):
			f.forbid(at, "%s belongs to the whole machine; a pod may set kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.*", shown(sysctl.Name))
		case seen[name]:
			f.invalid(at, "%s is set twice", shown(sysctl.Name))
		case !slices.Contains(safeSysctls, name) && !node.allowsSysctl(name):
			f.forbid(at, "SysctlForbidden: %s is not a safe sysctl; ask the operator of this node to add it to AllowedUnsafeSysctls", shown(sysctl.Name))
		}
		seen[name] = true
	}
}

// allowsSysctl says whether the operator allows a sysctl, by its name with dots or by a
// pattern that ends with *.
func (n Node) allowsSysctl(name string) bool {
	return slices.ContainsFunc(n.UnsafeSysctls, func(allowed string) bool {
		prefix, pattern := strings.CutSuffix(allowed, "*")
		return name == allowed || pattern && strings.HasPrefix(name, prefix)
	})
}

// dotted is the name of a sysctl with dots as separators; written with slashes,
// a dot is part of an interface's name.
func dotted(name string) string {
	if at := strings.IndexAny(name, "./"); at >= 0 && name[at] == '/' {
		return strings.NewReplacer("/", ".", ".", "/").Replace(name)
	}
	return name
}
