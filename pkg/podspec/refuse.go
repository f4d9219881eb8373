package podspec

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// refuseFields refuses what no pod may ask for on this node (fieldRules), and
// what the Kubernetes API would not have let pass: an older interLink, or a
// caller that is none, sends that too. It is pure. The error is
// ErrInvalidArgument and names each field at fault, so that a pod, whose create
// is not tried again, is put right in one go.
func refuseFields(pod *v1.Pod) error {
	f := &faults{}
	for _, rule := range fieldRules {
		if rule.use == refused {
			f.rule(rule, pod)
		}
	}
	f.pod(pod)
	f.dns(pod)
	f.podSecurity(pod)
	for i := range pod.Spec.InitContainers {
		c, field := &pod.Spec.InitContainers[i], fmt.Sprintf("spec.initContainers[%d]", i)
		f.container(pod, c, field)
		f.plainInit(c, field)
	}
	for i := range pod.Spec.Containers {
		f.container(pod, &pod.Spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i))
	}
	f.hostPorts(pod)
	return f.err()
}

// oneOf refuses a value that is none of those allowed; "" comes last among them
// where a field may be left out.
func (f *faults) oneOf(field, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		f.add(field, "%.80q is none of %s", value, strings.TrimSuffix(strings.Join(allowed, ", "), ", "))
	}
}

func (f *faults) pod(pod *v1.Pod) {
	spec := &pod.Spec
	if n := spec.TerminationGracePeriodSeconds; n != nil && (*n < 0 || *n > math.MaxInt32) {
		f.add("spec.terminationGracePeriodSeconds", "%d is not between 0 and %d", *n, math.MaxInt32)
	}
	if n := spec.ActiveDeadlineSeconds; n != nil && (*n < 1 || *n > math.MaxInt32) {
		f.add("spec.activeDeadlineSeconds", "%d is not between 1 and %d", *n, math.MaxInt32)
	}
	if spec.HostPID && ptr.Deref(spec.ShareProcessNamespace, false) {
		f.add("spec.shareProcessNamespace", "cannot be true together with hostPID; leave one of them out")
	}
	f.label("spec.hostname", spec.Hostname)
	f.label("spec.subdomain", spec.Subdomain)
	// A kernel keeps 64 characters; kubelet does not start such a pod either.
	if name := Hostname(pod); ptr.Deref(spec.SetHostnameAsFQDN, false) && len(name) > 64 {
		f.add("spec.setHostnameAsFQDN", "the name %s has %d characters, 64 are possible; shorten the pod's hostname or subdomain", name, len(name))
	}
	for i, alias := range spec.HostAliases {
		field := fmt.Sprintf("spec.hostAliases[%d]", i)
		f.ip(field+".ip", alias.IP)
		for j, name := range alias.Hostnames {
			if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
				f.add(fmt.Sprintf("%s.hostnames[%d]", field, j), "%.80q is not a host name", name)
			}
		}
	}
}

func (f *faults) label(field, value string) {
	if value != "" && len(validation.IsDNS1123Label(value)) > 0 {
		f.add(field, "%.80q is not a DNS label: lower-case letters, digits and '-', at most 63 characters", value)
	}
}

func (f *faults) ip(field, value string) {
	if ip, err := netip.ParseAddr(value); err != nil || ip.Zone() != "" {
		f.add(field, "%.80q is not an IP address", value)
	}
}

// Limits of the Kubernetes API for dnsConfig.
const (
	maxNameservers  = 3
	maxSearches     = 32
	maxSearchesText = 2048
)

func (f *faults) dns(pod *v1.Pod) {
	f.oneOf("spec.dnsPolicy", string(pod.Spec.DNSPolicy),
		string(v1.DNSClusterFirst), string(v1.DNSClusterFirstWithHostNet), string(v1.DNSDefault), string(v1.DNSNone), "")
	config := pod.Spec.DNSConfig
	if pod.Spec.DNSPolicy == v1.DNSNone && (config == nil || len(config.Nameservers) == 0) {
		f.add("spec.dnsConfig.nameservers", "dnsPolicy None needs at least one")
	}
	if config == nil {
		return
	}
	if n := len(config.Nameservers); n > maxNameservers {
		f.add("spec.dnsConfig.nameservers", "has %d entries, %d are possible", n, maxNameservers)
	}
	for i, server := range config.Nameservers {
		f.ip(fmt.Sprintf("spec.dnsConfig.nameservers[%d]", i), server)
	}
	if n, text := len(config.Searches), len(strings.Join(config.Searches, " ")); n > maxSearches || text > maxSearchesText {
		f.add("spec.dnsConfig.searches", "has %d entries with %d characters, %d with %d are possible", n, text, maxSearches, maxSearchesText)
	}
	for i, search := range config.Searches {
		if search != "." && len(validation.IsDNS1123SubdomainWithUnderscore(strings.TrimSuffix(search, "."))) > 0 {
			f.add(fmt.Sprintf("spec.dnsConfig.searches[%d]", i), "%.80q is not a domain", search)
		}
	}
	for i, option := range config.Options {
		text := option.Name
		if option.Value != nil {
			text += ":" + *option.Value
		}
		if option.Name == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			f.add(fmt.Sprintf("spec.dnsConfig.options[%d]", i), "%.80q is not an option of resolv.conf", text)
		}
	}
}

var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

// namespacedSysctls are those that a pod has to itself, as in kubelet.
var namespacedSysctls = regexp.MustCompile(`^(kernel\.(shm|msg)|kernel\.sem$|fs\.mqueue\.|net\.)`)

func (f *faults) podSecurity(pod *v1.Pod) {
	shared := pod.Spec.SecurityContext
	if shared == nil {
		return
	}
	const field = "spec.securityContext"
	f.id(field+".runAsUser", shared.RunAsUser)
	f.id(field+".runAsGroup", shared.RunAsGroup)
	f.id(field+".fsGroup", shared.FSGroup)
	for i := range shared.SupplementalGroups {
		f.id(fmt.Sprintf("%s.supplementalGroups[%d]", field, i), &shared.SupplementalGroups[i])
	}
	seen := map[string]bool{}
	for i, sysctl := range shared.Sysctls {
		at, name := fmt.Sprintf("%s.sysctls[%d].name", field, i), dotted(sysctl.Name)
		switch {
		case !sysctlName.MatchString(sysctl.Name):
			f.add(at, "%.80q is not the name of a sysctl", sysctl.Name)
		case !namespacedSysctls.MatchString(name):
			f.add(at, "%q belongs to the whole machine; a pod may set kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.*", sysctl.Name)
		case seen[name]:
			f.add(at, "%q is set twice", sysctl.Name)
		}
		seen[name] = true
	}
}

// dotted is the name of a sysctl with dots as separators; written with slashes,
// a dot is part of an interface's name.
func dotted(name string) string {
	if at := strings.IndexAny(name, "./"); at >= 0 && name[at] == '/' {
		return strings.NewReplacer("/", ".", ".", "/").Replace(name)
	}
	return name
}

// id checks a user or a group.
func (f *faults) id(field string, id *int64) {
	if id != nil && (*id < 0 || *id > math.MaxInt32) {
		f.add(field, "%d is not between 0 and %d", *id, math.MaxInt32)
	}
}

func (f *faults) container(pod *v1.Pod, c *v1.Container, field string) {
	if _, err := reference.ParseDockerRef(c.Image); err != nil {
		f.add(field+".image", "%.200q is not an image: %s", c.Image, err)
	}
	f.oneOf(field+".imagePullPolicy", string(c.ImagePullPolicy), string(v1.PullAlways), string(v1.PullIfNotPresent), string(v1.PullNever), "")
	for i, variable := range c.Env {
		if len(validation.IsRelaxedEnvVarName(variable.Name)) > 0 {
			f.add(fmt.Sprintf("%s.env[%d].name", field, i), "%.80q must be printable ASCII without '='", variable.Name)
		}
	}
	f.oneOf(field+".terminationMessagePolicy", string(c.TerminationMessagePolicy),
		string(v1.TerminationMessageReadFile), string(v1.TerminationMessageFallbackToLogsOnError), "")
	if file := c.TerminationMessagePath; file != "" && (!path.IsAbs(file) || path.Clean(file) != file || file == "/") {
		f.add(field+".terminationMessagePath", "%.80q is not the absolute path of a file", file)
	}
	f.ports(c, field)
	f.resources(c, field+".resources")
	f.restarts(c, field)
	f.security(pod, c, field+".securityContext")
}

// plainInit refuses what only lasting containers have (Kubernetes API).
func (f *faults) plainInit(c *v1.Container, field string) {
	if IsSidecar(c) {
		return
	}
	for _, given := range []struct {
		name string
		set  bool
	}{
		{"livenessProbe", c.LivenessProbe != nil}, {"readinessProbe", c.ReadinessProbe != nil},
		{"startupProbe", c.StartupProbe != nil}, {"lifecycle", c.Lifecycle != nil},
	} {
		if given.set {
			f.add(field+"."+given.name, "an init container cannot have it, unless its restartPolicy is Always")
		}
	}
}

func (f *faults) ports(c *v1.Container, field string) {
	named := map[string]bool{}
	for i, port := range c.Ports {
		at := fmt.Sprintf("%s.ports[%d]", field, i)
		if problems := validation.IsValidPortName(port.Name); port.Name != "" && len(problems) > 0 {
			f.add(at+".name", "%.80q is not a port name: %s", port.Name, problems[0])
		}
		if port.Name != "" && named[port.Name] {
			f.add(at+".name", "%q is used twice in this container", port.Name)
		}
		named[port.Name] = true
		if port.ContainerPort < 1 || port.ContainerPort > math.MaxUint16 {
			f.add(at+".containerPort", "%d is not between 1 and %d", port.ContainerPort, math.MaxUint16)
		}
		if port.HostPort < 0 || port.HostPort > math.MaxUint16 {
			f.add(at+".hostPort", "%d is not between 0 and %d", port.HostPort, math.MaxUint16)
		}
		if port.HostIP != "" {
			f.ip(at+".hostIP", port.HostIP)
		}
		if port.Protocol != v1.ProtocolSCTP { // which has its own refusal
			f.oneOf(at+".protocol", string(port.Protocol), string(v1.ProtocolTCP), string(v1.ProtocolUDP), "")
		}
	}
}

// hostPorts refuses two wishes for one port of the host. An init container may
// name the port of another container if it is the same port of the pod too.
func (f *faults) hostPorts(pod *v1.Pod) {
	type wish struct {
		engine.Port
		field string
		init  bool
	}
	wishes := map[uint16][]wish{}
	for i, c := range Containers(pod) {
		field, init := fmt.Sprintf("spec.initContainers[%d]", i), true
		if n := i - len(pod.Spec.InitContainers); n >= 0 {
			field, init = fmt.Sprintf("spec.containers[%d]", n), false
		}
		for j, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			wanted := wish{field: fmt.Sprintf("%s.ports[%d].hostPort", field, j), init: init, Port: engine.Port{HostIP: p.HostIP,
				Host: uint16(p.HostPort), Container: uint16(p.ContainerPort), Protocol: cmp.Or(strings.ToLower(string(p.Protocol)), "tcp")}}
			held := wishes[wanted.Host]
			at := slices.IndexFunc(held, func(w wish) bool {
				return SamePort(w.Port, wanted.Port) && !(w.Port == wanted.Port && w.init)
			})
			if at >= 0 {
				f.add(wanted.field, "%d/%s is the port of %s already", p.HostPort, wanted.Protocol, held[at].field)
				continue
			}
			wishes[wanted.Host] = append(held, wanted)
		}
	}
}

// Bounds beyond any machine, within which sums of millis and nanos are exact.
const (
	maxCPUs  = 1_000_000
	maxBytes = 1 << 52
)

func (f *faults) resources(c *v1.Container, field string) {
	for _, list := range []struct {
		name   string
		values v1.ResourceList
	}{{"limits", c.Resources.Limits}, {"requests", c.Resources.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.values)) {
			f.quantity(fmt.Sprintf("%s.%s.%s", field, list.name, name), name, list.values[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Resources.Requests)) {
		request := c.Resources.Requests[name]
		limit, limited := c.Resources.Limits[name]
		// Devices, which have a domain, must be equal, and pkg/gpu says so.
		if limited && request.Cmp(limit) > 0 && !strings.Contains(string(name), "/") {
			f.add(fmt.Sprintf("%s.requests.%s", field, name), "%s is more than the limit of %s", request.String(), limit.String())
		}
	}
}

func (f *faults) quantity(field string, name v1.ResourceName, q resource.Quantity) {
	switch {
	case name == v1.ResourceCPU && q.CmpInt64(maxCPUs) > 0,
		(name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage) && q.CmpInt64(maxBytes) > 0:
		f.add(field, "%s is more than any machine has", q.String())
	case name == v1.ResourceCPU, name == v1.ResourceMemory, name == v1.ResourceEphemeralStorage,
		strings.Contains(string(name), "/"), strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix):
	default:
		f.add(field, "is not a resource of a container; there are cpu, memory, ephemeral-storage and devices")
	}
}

// Limits of the Kubernetes API for restartPolicyRules.
const (
	maxRestartRules = 20
	maxExitCodes    = 255
)

func (f *faults) restarts(c *v1.Container, field string) {
	if c.RestartPolicy != nil {
		f.oneOf(field+".restartPolicy", string(*c.RestartPolicy), string(v1.ContainerRestartPolicyAlways),
			string(v1.ContainerRestartPolicyOnFailure), string(v1.ContainerRestartPolicyNever))
	} else if len(c.RestartPolicyRules) > 0 {
		f.add(field+".restartPolicy", "must be set where restartPolicyRules are")
	}
	if n := len(c.RestartPolicyRules); n > maxRestartRules {
		f.add(field+".restartPolicyRules", "has %d entries, %d are possible", n, maxRestartRules)
	}
	for i, rule := range c.RestartPolicyRules {
		at := fmt.Sprintf("%s.restartPolicyRules[%d]", field, i)
		if rule.Action != v1.ContainerRestartRuleActionRestartAllContainers { // which has its own refusal
			f.oneOf(at+".action", string(rule.Action), string(v1.ContainerRestartRuleActionRestart))
		}
		codes := rule.ExitCodes
		if codes == nil {
			f.add(at+".exitCodes", "must be set")
			continue
		}
		f.oneOf(at+".exitCodes.operator", string(codes.Operator),
			string(v1.ContainerRestartRuleOnExitCodesOpIn), string(v1.ContainerRestartRuleOnExitCodesOpNotIn))
		if n := len(codes.Values); n > maxExitCodes {
			f.add(at+".exitCodes.values", "has %d entries, %d are possible", n, maxExitCodes)
		}
	}
}

func (f *faults) security(pod *v1.Pod, c *v1.Container, field string) {
	own, shared := c.SecurityContext, pod.Spec.SecurityContext
	if own == nil {
		own = &v1.SecurityContext{}
	}
	if shared == nil {
		shared = &v1.PodSecurityContext{}
	}
	f.id(field+".runAsUser", own.RunAsUser)
	f.id(field+".runAsGroup", own.RunAsGroup)
	if ptr.Deref(own.Privileged, false) && own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation {
		f.add(field+".allowPrivilegeEscalation", "cannot be false for a privileged container")
	}
	if user := cmp.Or(own.RunAsUser, shared.RunAsUser); user != nil && *user == 0 && ptr.Deref(cmp.Or(own.RunAsNonRoot, shared.RunAsNonRoot), false) {
		if own.RunAsUser == nil {
			field = "spec.securityContext"
		}
		f.add(field+".runAsUser", "0 is root, which runAsNonRoot forbids; set another user")
	}
}
