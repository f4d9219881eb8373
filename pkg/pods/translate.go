package pods

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// place is what a container's spec needs to know beside its pod.
type place struct {
	// IP of the sandbox, which is the pod's.
	IP string
	// PrivilegedSandbox says that the sandbox holds every capability itself.
	PrivilegedSandbox bool
	// PIDNamespace is what shareProcessNamespace joins.
	PIDNamespace string
	Log          engine.LogLimits
	// CPUs of the host, 0 if not known: an engine refuses a larger limit, which
	// Kubernetes allows.
	CPUs int
}

// containerSpec turns one container of a validated pod into what the sandbox's
// engine makes. It is pure; image, mounts and devices are added by the caller.
func containerSpec(pod *v1.Pod, c *v1.Container, env environment, at place) engine.Spec {
	spec := engine.Spec{
		Name:       containerName(pod, c.Name),
		Hostname:   hostname(pod),
		Entrypoint: env.expandAll(c.Command),
		Cmd:        env.expandAll(c.Args),
		Env:        env.list(),
		WorkingDir: c.WorkingDir,
		Stdin:      c.Stdin,
		StdinOnce:  c.StdinOnce,
		TTY:        c.TTY,
		Labels: map[string]string{
			engine.LabelPodUID:    string(pod.UID),
			engine.LabelContainer: c.Name,
			// What tools that look at containers of Kubernetes know.
			"io.kubernetes.pod.name":       pod.Name,
			"io.kubernetes.pod.namespace":  pod.Namespace,
			"io.kubernetes.pod.uid":        string(pod.UID),
			"io.kubernetes.container.name": c.Name,
		},
		// The sandbox is the pod: its network and its IPC namespace, with /dev/shm,
		// are what Kubernetes says that the containers of a pod share.
		Network:   "host",
		IPCMode:   "host",
		Resources: containerResources(pod, c),
		Log:       at.Log,
	}
	if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
		spec.StopSignal = string(*c.Lifecycle.StopSignal)
	}
	switch {
	case pod.Spec.HostPID:
		spec.PIDMode = "host"
	case pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace:
		spec.PIDMode = at.PIDNamespace
	}
	if at.CPUs > 0 {
		spec.Resources.NanoCPUs = min(spec.Resources.NanoCPUs, int64(at.CPUs)*1e9)
	}
	secure(&spec, pod, c, at)
	resolver(&spec, pod)
	return spec
}

// hostname as kubelet sets it.
func hostname(pod *v1.Pod) string {
	name := shortHostname(pod)
	if pod.Spec.SetHostnameAsFQDN != nil && *pod.Spec.SetHostnameAsFQDN {
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

// hostsFile is the pod's /etc/hosts, as kubelet writes it.
func hostsFile(pod *v1.Pod, ip string) string {
	var b strings.Builder
	b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
	short := shortHostname(pod)
	if long := fqdn(pod, short); long != short {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", ip, long, short)
	} else {
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

// resolver applies dnsPolicy and dnsConfig. There is no cluster DNS on this
// side, so every policy but None means the host's resolver (kubelet's Default).
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
	for _, option := range config.Options {
		text := option.Name
		if option.Value != nil {
			text += ":" + *option.Value
		}
		spec.DNSOptions = append(spec.DNSOptions, text)
	}
}

// containerResources: limits in millicores and bytes, requests as weights, and
// the OOM killer's preference by QoS class, all by kubelet's formulas.
func containerResources(pod *v1.Pod, c *v1.Container) engine.Resources {
	limits, requests := c.Resources.Limits, c.Resources.Requests
	r := engine.Resources{
		NanoCPUs:    limits.Cpu().MilliValue() * 1e6,
		MemoryBytes: limits.Memory().Value(),
		OOMScoreAdj: oomScore(pod, c),
	}
	milli := requests.Cpu().MilliValue()
	if milli == 0 {
		milli = limits.Cpu().MilliValue()
	}
	// A container without a CPU request gets the least weight, as in kubelet.
	r.CPUShares = cpuShares(milli)
	if r.NanoCPUs > 0 {
		r.NanoCPUs = max(r.NanoCPUs, minNanoCPUs)
	}
	return r
}

// cpuShares are the weight of a request, in thousandths of a CPU, within what the
// kernel takes.
func cpuShares(milli int64) int64 { return min(max(milli*1024/1000, 2), 262144) }

// minNanoCPUs is the least CPU limit that the kernel can keep, 10m as in kubelet.
const minNanoCPUs = 10e6

// nodeMemory stands for the machine's memory in the burstable formula below.
// Scores only need to be in order; a fixed size keeps them the same everywhere.
const nodeMemory = 64 << 30

// oomScore orders containers for the kernel's OOM killer. Kubelet's -997 for a
// guaranteed pod is out of reach of a sandbox that may not lower scores, so 0.
func oomScore(pod *v1.Pod, c *v1.Container) int {
	memory := c.Resources.Requests.Memory().Value()
	if memory == 0 {
		memory = c.Resources.Limits.Memory().Value()
	}
	switch {
	case bestEffort(pod):
		return 1000
	case guaranteed(pod):
		return 0
	}
	return int(min(max(1000-1000*memory/nodeMemory, 3), 999))
}

func allContainers(pod *v1.Pod) []v1.Container {
	return slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
}

func bestEffort(pod *v1.Pod) bool {
	for _, c := range allContainers(pod) {
		for _, list := range []v1.ResourceList{c.Resources.Limits, c.Resources.Requests} {
			if !list.Cpu().IsZero() || !list.Memory().IsZero() {
				return false
			}
		}
	}
	return true
}

func guaranteed(pod *v1.Pod) bool {
	for _, c := range allContainers(pod) {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			limit, limited := c.Resources.Limits[name]
			request, requested := c.Resources.Requests[name]
			if !limited || limit.IsZero() || requested && limit.Cmp(request) != 0 {
				return false
			}
		}
	}
	return true
}

// secure applies the pod's and the container's security context; the
// container's wins.
func secure(spec *engine.Spec, pod *v1.Pod, c *v1.Container, at place) {
	own := c.SecurityContext
	if own == nil {
		own = &v1.SecurityContext{}
	}
	shared := pod.Spec.SecurityContext
	if shared == nil {
		shared = &v1.PodSecurityContext{}
	}
	spec.User = userAndGroup(first(own.RunAsUser, shared.RunAsUser), first(own.RunAsGroup, shared.RunAsGroup))
	for _, group := range shared.SupplementalGroups {
		spec.GroupAdd = append(spec.GroupAdd, strconv.FormatInt(group, 10))
	}
	if shared.FSGroup != nil {
		spec.GroupAdd = append(spec.GroupAdd, strconv.FormatInt(*shared.FSGroup, 10))
	}
	spec.ReadonlyRootfs = own.ReadOnlyRootFilesystem != nil && *own.ReadOnlyRootFilesystem
	if own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation {
		spec.SecurityOpt = append(spec.SecurityOpt, "no-new-privileges")
	}
	if own.Privileged != nil && *own.Privileged {
		privilege(spec, pod, at)
		return
	}
	capabilities(spec, own.Capabilities, pod, at)
	if unconfined(first(own.SeccompProfile, shared.SeccompProfile)) {
		spec.SecurityOpt = append(spec.SecurityOpt, "seccomp=unconfined")
	}
	if profile := first(own.AppArmorProfile, shared.AppArmorProfile); profile != nil && profile.Type == v1.AppArmorProfileTypeUnconfined {
		spec.SecurityOpt = append(spec.SecurityOpt, "apparmor=unconfined")
	}
	spec.UnmaskedSystemPaths = own.ProcMount != nil && *own.ProcMount == v1.UnmaskedProcMount
}

// privilege gives a container what keeps it inside its sandbox: every capability
// of a pod, no filters, and the kernel's own files still read-only. A privileged
// sandbox makes it what it is elsewhere, root of the host.
func privilege(spec *engine.Spec, pod *v1.Pod, at place) {
	if at.PrivilegedSandbox {
		spec.Privileged = true
		return
	}
	spec.CapAdd = podCapabilities(pod)
	spec.SecurityOpt = append(spec.SecurityOpt, "seccomp=unconfined", "apparmor=unconfined")
}

// podCapabilities are those of a sandbox without what leads out of it: whoever
// may mount can mount /proc anew and write the host's kernel settings, and who
// may trace the sandbox's engine is that engine.
func podCapabilities(pod *v1.Pod) []string {
	return slices.DeleteFunc(slices.Clone(pool.Capabilities), func(name string) bool {
		return name == "SYS_ADMIN" || name == "SYS_PTRACE" && pod.Spec.HostPID
	})
}

func capabilities(spec *engine.Spec, wanted *v1.Capabilities, pod *v1.Pod, at place) {
	if wanted == nil {
		return
	}
	for _, name := range wanted.Drop {
		spec.CapDrop = append(spec.CapDrop, capability(name))
	}
	for _, name := range wanted.Add {
		if name := capability(name); name == "ALL" && !at.PrivilegedSandbox {
			spec.CapAdd = append(spec.CapAdd, podCapabilities(pod)...)
		} else {
			spec.CapAdd = append(spec.CapAdd, name)
		}
	}
}

// capability without the prefix that some people write.
func capability(name v1.Capability) string {
	return strings.TrimPrefix(strings.ToUpper(string(name)), "CAP_")
}

func unconfined(profile *v1.SeccompProfile) bool {
	return profile != nil && profile.Type == v1.SeccompProfileTypeUnconfined
}

func userAndGroup(user, group *int64) string {
	switch {
	case user == nil:
		return "" // a group alone needs the image's user; see withGroup
	case group == nil:
		return strconv.FormatInt(*user, 10)
	}
	return strconv.FormatInt(*user, 10) + ":" + strconv.FormatInt(*group, 10)
}

// withGroup completes the user for a pod that sets a group but no user.
func withGroup(pod *v1.Pod, c *v1.Container, user, imageUser string) string {
	var own, shared *int64
	if c.SecurityContext != nil {
		own = c.SecurityContext.RunAsGroup
	}
	if pod.Spec.SecurityContext != nil {
		shared = pod.Spec.SecurityContext.RunAsGroup
	}
	group := first(own, shared)
	if user != "" || group == nil {
		return user
	}
	name, _, _ := strings.Cut(imageUser, ":")
	if name == "" {
		name = "0"
	}
	return name + ":" + strconv.FormatInt(*group, 10)
}

// checkNonRoot enforces runAsNonRoot as kubelet does, once the image is known.
func checkNonRoot(pod *v1.Pod, c *v1.Container, user, imageUser string) error {
	var own, shared *bool
	if c.SecurityContext != nil {
		own = c.SecurityContext.RunAsNonRoot
	}
	if pod.Spec.SecurityContext != nil {
		shared = pod.Spec.SecurityContext.RunAsNonRoot
	}
	if must := first(own, shared); must == nil || !*must {
		return nil
	}
	if user == "" {
		user = imageUser
	}
	name, _, _ := strings.Cut(user, ":")
	uid, err := strconv.ParseInt(name, 10, 64)
	switch {
	case name == "" || err == nil && uid == 0:
		return fmt.Errorf("container %s has runAsNonRoot and its image runs as root: set securityContext.runAsUser", c.Name)
	case err != nil:
		return fmt.Errorf("container %s has runAsNonRoot and its image has a non-numeric user %q: set securityContext.runAsUser", c.Name, name)
	}
	return nil
}

// first returns the first that is set.
func first[T any](options ...*T) *T {
	for _, option := range options {
		if option != nil {
			return option
		}
	}
	return nil
}
