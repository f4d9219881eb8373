package podspec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const testUID = "0f9b1c1e-6a37-4b6e-9a51-2f6f3a1f2b3c"

// plainPod is the smallest pod that is valid.
func plainPod() *v1.Pod {
	pod := &v1.Pod{}
	pod.Name, pod.Namespace, pod.UID = "web", "team", testUID
	pod.Spec.Containers = []v1.Container{{Name: "main", Image: "busybox:1.36"}}
	return pod
}

// withInit adds an init container.
func withInit(edit func(*v1.Container)) func(*v1.Pod) {
	return func(pod *v1.Pod) {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, v1.Container{Name: "first", Image: "busybox:1.36"})
		edit(&pod.Spec.InitContainers[0])
	}
}

func withMain(edit func(*v1.Container)) func(*v1.Pod) {
	return func(pod *v1.Pod) { edit(&pod.Spec.Containers[0]) }
}

func withSecurity(s v1.SecurityContext) func(*v1.Pod) {
	return withMain(func(c *v1.Container) { c.SecurityContext = &s })
}

func withPodSecurity(s v1.PodSecurityContext) func(*v1.Pod) {
	return func(pod *v1.Pod) { pod.Spec.SecurityContext = &s }
}

func withPorts(ports ...v1.ContainerPort) func(*v1.Pod) {
	return withMain(func(c *v1.Container) { c.Ports = ports })
}

func withDNS(policy v1.DNSPolicy, config *v1.PodDNSConfig) func(*v1.Pod) {
	return func(pod *v1.Pod) { pod.Spec.DNSPolicy, pod.Spec.DNSConfig = policy, config }
}

func withSysctl(names ...string) func(*v1.Pod) {
	s := v1.PodSecurityContext{}
	for _, name := range names {
		s.Sysctls = append(s.Sysctls, v1.Sysctl{Name: name, Value: "1"})
	}
	return withPodSecurity(s)
}

func withResources(limits, requests v1.ResourceList) func(*v1.Pod) {
	return withMain(func(c *v1.Container) { c.Resources = v1.ResourceRequirements{Limits: limits, Requests: requests} })
}

// amounts reads pairs of a resource's name and its quantity.
func amounts(pairs ...string) v1.ResourceList {
	list := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func withRules(policy *v1.ContainerRestartPolicy, rules ...v1.ContainerRestartRule) func(*v1.Pod) {
	return withMain(func(c *v1.Container) { c.RestartPolicy, c.RestartPolicyRules = policy, rules })
}

func restartOn(operator v1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) v1.ContainerRestartRule {
	return v1.ContainerRestartRule{Action: v1.ContainerRestartRuleActionRestart,
		ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: operator, Values: codes}}
}

type refusalCase struct {
	name string
	edit func(*v1.Pod)
	want string
}

// check asserts the whole refusal of pods on a node that allows least.
func check(t *testing.T, cases []refusalCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pod := plainPod()
			c.edit(pod)
			before := pod.DeepCopy()
			err := refuse(pod)
			if err == nil {
				t.Fatalf("accepted, want %q", c.want)
			}
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%v is not of the class of invalid arguments", err)
			}
			if got := err.Error(); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			if strings.ContainsAny(err.Error(), `"'<>&`) {
				t.Errorf("interLink escapes what is in %s", err)
			}
			if diff := cmp.Diff(before, pod); diff != "" {
				t.Errorf("the pod was changed:\n%s", diff)
			}
		})
	}
}

func TestRefuseFieldsOfThePod(t *testing.T) {
	check(t, []refusalCase{
		{"host network", func(p *v1.Pod) { p.Spec.HostNetwork = true },
			"spec.hostNetwork: is the network of the host, which no pod of this node gets; leave it out and publish ports with hostPort, or ask the operator of this node for HostNetworkIsSandbox"},
		{"hostnameOverride that is none", func(p *v1.Pod) { p.Spec.HostnameOverride = new("a_b") },
			"spec.hostnameOverride: a_b is not a DNS name: lower-case letters, digits, hyphens and dots, at most 253 characters"},
		{"hostnameOverride that is too long", func(p *v1.Pod) { p.Spec.HostnameOverride = new(strings.Repeat("a", 65)) },
			"spec.hostnameOverride: the name has 65 characters, 64 are possible"},
		{"hostnameOverride and FQDN", func(p *v1.Pod) { p.Spec.HostnameOverride, p.Spec.SetHostnameAsFQDN = new("a"), new(true) },
			"spec.hostnameOverride: cannot be set together with setHostnameAsFQDN"},
		{"own user namespace", func(p *v1.Pod) { p.Spec.HostUsers = new(false) },
			"spec.hostUsers: false is not supported by this node, which has no user namespaces for pods; leave it out"},
		{"Windows", func(p *v1.Pod) { p.Spec.OS = &v1.PodOS{Name: v1.Windows} },
			"spec.os.name: windows is not supported; this node runs Linux containers only"},
		{"runtime class", func(p *v1.Pod) { p.Spec.RuntimeClassName = new("nvidia") },
			"spec.runtimeClassName: nvidia: this node has no runtime classes; leave it out, devices come with the resources that a container asks for, or ask the operator of this node to add the class to RuntimeClasses"},
		{"resource claims", func(p *v1.Pod) { p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gpu"}} },
			"spec.resourceClaims: is not possible on this node: interLink does not send the devices that were allocated to a claim; ask for devices in resources.limits"},
		{"negative grace", func(p *v1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(-1)) },
			"spec.terminationGracePeriodSeconds: -1 is not between 0 and 2147483647"},
		{"endless grace", func(p *v1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(1) << 40) },
			"spec.terminationGracePeriodSeconds: 1099511627776 is not between 0 and 2147483647"},
		{"no time at all", func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = new(int64(0)) },
			"spec.activeDeadlineSeconds: 0 is not between 1 and 2147483647"},
		{"two process namespaces", func(p *v1.Pod) { p.Spec.HostPID, p.Spec.ShareProcessNamespace = true, new(true) },
			"spec.shareProcessNamespace: cannot be true together with hostPID; leave one of them out"},
		{"hostname", func(p *v1.Pod) { p.Spec.Hostname = "My_Host" },
			`spec.hostname: My_Host is not a DNS label: lower-case letters, digits and hyphens, at most 63 characters`},
		{"hostname with dots", func(p *v1.Pod) { p.Spec.Hostname = "a.b" },
			`spec.hostname: a.b is not a DNS label: lower-case letters, digits and hyphens, at most 63 characters`},
		{"subdomain", func(p *v1.Pod) { p.Spec.Subdomain = "-x" },
			`spec.subdomain: -x is not a DNS label: lower-case letters, digits and hyphens, at most 63 characters`},
		{"long full name", func(p *v1.Pod) {
			p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = strings.Repeat("h", 40), "sub", new(true)
		}, "spec.setHostnameAsFQDN: the name " + strings.Repeat("h", 40) + ".sub.team.svc.cluster.local has 67 characters, 64 are possible; shorten the hostname or the subdomain of the pod"},
		{"alias without an address", func(p *v1.Pod) { p.Spec.HostAliases = []v1.HostAlias{{IP: "10.0.0", Hostnames: []string{"db"}}} },
			`spec.hostAliases[0].ip: 10.0.0 is not an IP address`},
		{"alias with a second line", func(p *v1.Pod) {
			p.Spec.HostAliases = []v1.HostAlias{{IP: "10.0.0.1", Hostnames: []string{"db", "x\n10.0.0.2 y"}}}
		}, `spec.hostAliases[0].hostnames[1]: x\n10.0.0.2 y is not a host name`},
	})
}

func TestRefuseDNS(t *testing.T) {
	check(t, []refusalCase{
		{"policy", withDNS("Cluster", nil), `spec.dnsPolicy: Cluster is none of ClusterFirst, ClusterFirstWithHostNet, Default, None`},
		{"None without a server", withDNS(v1.DNSNone, nil), "spec.dnsConfig.nameservers: dnsPolicy None needs at least one"},
		{"four servers", withDNS("", &v1.PodDNSConfig{Nameservers: []string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"}}),
			"spec.dnsConfig.nameservers: has 4 entries, 3 are possible"},
		{"server by name", withDNS("", &v1.PodDNSConfig{Nameservers: []string{"1.1.1.1", "dns.example"}}),
			`spec.dnsConfig.nameservers[1]: dns.example is not an IP address`},
		{"server with a zone", withDNS("", &v1.PodDNSConfig{Nameservers: []string{"fe80::1%eth0"}}),
			`spec.dnsConfig.nameservers[0]: fe80::1%eth0 is not an IP address`},
		{"search", withDNS("", &v1.PodDNSConfig{Searches: []string{"example.org", "a b"}}),
			`spec.dnsConfig.searches[1]: a b is not a domain`},
		{"33 searches", withDNS("", &v1.PodDNSConfig{Searches: strings.Fields(strings.Repeat("x ", 33))}),
			"spec.dnsConfig.searches: has 33 entries with 65 characters, 32 with 2048 are possible"},
		{"option without a name", withDNS("", &v1.PodDNSConfig{Options: []v1.PodDNSConfigOption{{Value: new("2")}}}),
			`spec.dnsConfig.options[0]: :2 is not an option of resolv.conf`},
		{"option with a second line", withDNS("", &v1.PodDNSConfig{Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: new("2\nnameserver 6.6.6.6")}}}),
			`spec.dnsConfig.options[0]: ndots:2\nnameserver 6.6.6.6 is not an option of resolv.conf`},
	})
}

func TestRefuseContainers(t *testing.T) {
	probe := &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"true"}}}}
	always := v1.ContainerRestartPolicyAlways
	check(t, []refusalCase{
		{"no image", withMain(func(c *v1.Container) { c.Image = "" }),
			`spec.containers[0].image: an empty value is not an image: it must not be empty, nor begin or end with a space`},
		{"image with a space before it", withInit(func(c *v1.Container) { c.Image = " busybox" }),
			`spec.initContainers[0].image:  busybox is not an image: it must not be empty, nor begin or end with a space`},
		{"pull policy", withMain(func(c *v1.Container) { c.ImagePullPolicy = "Sometimes" }),
			`spec.containers[0].imagePullPolicy: Sometimes is none of Always, IfNotPresent, Never`},
		{"variable's name", withMain(func(c *v1.Container) { c.Env = []v1.EnvVar{{Name: "A"}, {Name: "B=C"}} }),
			`spec.containers[0].env[1].name: B=C must be printable ASCII without an equals sign`},
		{"variable's name with a newline", withMain(func(c *v1.Container) { c.Env = []v1.EnvVar{{Name: "A\nB"}} }),
			`spec.containers[0].env[0].name: A\nB must be printable ASCII without an equals sign`},
		{"variable from a file", withMain(func(c *v1.Container) {
			c.Env = []v1.EnvVar{{Name: "A"}, {Name: "B", ValueFrom: &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{VolumeName: "v"}}}}
		}), "spec.containers[0].env[1].valueFrom.fileKeyRef.volumeName: v is not an emptyDir volume of the pod; " +
			"spec.containers[0].env[1].valueFrom.fileKeyRef.path: an empty value is not a relative path without ..; " +
			"spec.containers[0].env[1].valueFrom.fileKeyRef.key: an empty value must be printable ASCII without an equals sign"},
		{"message policy", withMain(func(c *v1.Container) { c.TerminationMessagePolicy = "Logs" }),
			`spec.containers[0].terminationMessagePolicy: Logs is none of File, FallbackToLogsOnError`},
		{"message path", withMain(func(c *v1.Container) { c.TerminationMessagePath = "message" }),
			`spec.containers[0].terminationMessagePath: message is not the absolute path of a file`},
		{"message path with steps back", withMain(func(c *v1.Container) { c.TerminationMessagePath = "/dev/../etc/x" }),
			`spec.containers[0].terminationMessagePath: /dev/../etc/x is not the absolute path of a file`},
		{"block device", withMain(func(c *v1.Container) { c.VolumeDevices = []v1.VolumeDevice{{Name: "disk"}} }),
			"spec.containers[0].volumeDevices: is not supported by this node; use volumeMounts"},
		{"liveness of an init container", withInit(func(c *v1.Container) { c.LivenessProbe = probe }),
			"spec.initContainers[0].livenessProbe: an init container cannot have it, unless its restartPolicy is Always"},
		{"startup and readiness of an init container", withInit(func(c *v1.Container) { c.StartupProbe, c.ReadinessProbe = probe, probe }),
			"spec.initContainers[0].readinessProbe: an init container cannot have it, unless its restartPolicy is Always; " +
				"spec.initContainers[0].startupProbe: an init container cannot have it, unless its restartPolicy is Always"},
		{"hook of an init container", withInit(func(c *v1.Container) { c.Lifecycle = &v1.Lifecycle{} }),
			"spec.initContainers[0].lifecycle: an init container cannot have it, unless its restartPolicy is Always"},
		{"restart policy", withRules(new(v1.ContainerRestartPolicy("Sometimes"))),
			`spec.containers[0].restartPolicy: Sometimes is none of Always, OnFailure, Never`},
		{"rules without a policy", withRules(nil, restartOn("In", 42)),
			"spec.containers[0].restartPolicy: must be set where restartPolicyRules are"},
		{"rule without an action", withRules(&always, v1.ContainerRestartRule{ExitCodes: restartOn("In", 1).ExitCodes}),
			`spec.containers[0].restartPolicyRules[0].action: an empty value is none of Restart, RestartAllContainers`},
		{"rule without codes", withRules(&always, v1.ContainerRestartRule{Action: v1.ContainerRestartRuleActionRestart}),
			"spec.containers[0].restartPolicyRules[0].exitCodes: must be set"},
		{"rule's operator", withRules(&always, restartOn("In", 1), restartOn("Exists", 1)),
			`spec.containers[0].restartPolicyRules[1].exitCodes.operator: Exists is none of In, NotIn`},
		{"256 codes", withRules(&always, restartOn("In", make([]int32, 256)...)),
			"spec.containers[0].restartPolicyRules[0].exitCodes.values: has 256 entries, 255 are possible"},
		{"21 rules", func(p *v1.Pod) {
			var rules []v1.ContainerRestartRule
			for range 21 {
				rules = append(rules, restartOn("In", 1))
			}
			withRules(&always, rules...)(p)
		}, "spec.containers[0].restartPolicyRules: has 21 entries, 20 are possible"},
	})
}

func TestRefusePorts(t *testing.T) {
	const far = 65536
	check(t, []refusalCase{
		{"protocol SCTP", withPorts(v1.ContainerPort{ContainerPort: 80}, v1.ContainerPort{ContainerPort: 80, Protocol: "SCTP"}),
			"spec.containers[0].ports[1].protocol: SCTP is not supported by this node; use TCP or UDP"},
		{"protocol in small letters", withPorts(v1.ContainerPort{ContainerPort: 80, Protocol: "tcp"}),
			`spec.containers[0].ports[0].protocol: tcp is none of TCP, UDP`},
		{"number 0", withPorts(v1.ContainerPort{}), "spec.containers[0].ports[0].containerPort: 0 is not between 1 and 65535"},
		{"number too high", withPorts(v1.ContainerPort{ContainerPort: far}), "spec.containers[0].ports[0].containerPort: 65536 is not between 1 and 65535"},
		{"host port too high", withPorts(v1.ContainerPort{ContainerPort: 80, HostPort: far}),
			"spec.containers[0].ports[0].hostPort: 65536 is not between 0 and 65535"},
		{"negative host port", withPorts(v1.ContainerPort{ContainerPort: 80, HostPort: -1}),
			"spec.containers[0].ports[0].hostPort: -1 is not between 0 and 65535"},
		{"host address", withPorts(v1.ContainerPort{ContainerPort: 80, HostPort: 80, HostIP: "localhost"}),
			`spec.containers[0].ports[0].hostIP: localhost is not an IP address`},
		{"name", withPorts(v1.ContainerPort{ContainerPort: 80, Name: "a-name-much-too-long"}),
			`spec.containers[0].ports[0].name: a-name-much-too-long is not a port name: lower-case letters, digits and single hyphens, at least one letter, at most 15 characters`},
		{"name used twice", withPorts(v1.ContainerPort{ContainerPort: 80, Name: "web"}, v1.ContainerPort{ContainerPort: 81, Name: "web"}),
			`spec.containers[0].ports[1].name: web is used twice in this container`},
		{"host port used twice", withPorts(v1.ContainerPort{ContainerPort: 80, HostPort: 8080}, v1.ContainerPort{ContainerPort: 81, HostPort: 8080, Protocol: "TCP"}),
			"spec.containers[0].ports[1].hostPort: 8080/tcp is the port of spec.containers[0].ports[0].hostPort already"},
		{"host port used on one address and on all", withPorts(
			v1.ContainerPort{ContainerPort: 80, HostPort: 8080, HostIP: "127.0.0.1"}, v1.ContainerPort{ContainerPort: 80, HostPort: 8080}),
			"spec.containers[0].ports[1].hostPort: 8080/tcp is the port of spec.containers[0].ports[0].hostPort already"},
		{"host port used by two containers", func(p *v1.Pod) {
			withPorts(v1.ContainerPort{ContainerPort: 80, HostPort: 8080})(p)
			p.Spec.Containers = append(p.Spec.Containers, *p.Spec.Containers[0].DeepCopy())
			p.Spec.Containers[1].Name = "other"
		}, "spec.containers[1].ports[0].hostPort: 8080/tcp is the port of spec.containers[0].ports[0].hostPort already"},
		{"host port used by an init container for another port", func(p *v1.Pod) {
			withPorts(v1.ContainerPort{ContainerPort: 80, HostPort: 8080})(p)
			withInit(func(c *v1.Container) { c.Ports = []v1.ContainerPort{{ContainerPort: 81, HostPort: 8080}} })(p)
		}, "spec.containers[0].ports[0].hostPort: 8080/tcp is the port of spec.initContainers[0].ports[0].hostPort already"},
	})
}

func TestRefuseSecurity(t *testing.T) {
	const tooHigh = int64(1) << 31
	check(t, []refusalCase{
		{"user of a container", withSecurity(v1.SecurityContext{RunAsUser: new(int64(-1))}),
			"spec.containers[0].securityContext.runAsUser: -1 is not between 0 and 2147483647"},
		{"group of a container", withSecurity(v1.SecurityContext{RunAsGroup: new(tooHigh)}),
			"spec.containers[0].securityContext.runAsGroup: 2147483648 is not between 0 and 2147483647"},
		{"ids of the pod", withPodSecurity(v1.PodSecurityContext{RunAsUser: new(tooHigh), RunAsGroup: new(tooHigh), FSGroup: new(tooHigh), SupplementalGroups: []int64{1, -7}}),
			"spec.securityContext.runAsUser: 2147483648 is not between 0 and 2147483647; " +
				"spec.securityContext.runAsGroup: 2147483648 is not between 0 and 2147483647; " +
				"spec.securityContext.fsGroup: 2147483648 is not between 0 and 2147483647; " +
				"spec.securityContext.supplementalGroups[1]: -7 is not between 0 and 2147483647"},
		{"privileged without escalation", withSecurity(v1.SecurityContext{Privileged: new(true), AllowPrivilegeEscalation: new(false)}),
			"spec.containers[0].securityContext.allowPrivilegeEscalation: cannot be false for a privileged container; " +
				"spec.containers[0].securityContext.privileged: privileged containers are not allowed on this node (AllowPrivilegedPods)"},
		{"Windows options", withSecurity(v1.SecurityContext{WindowsOptions: &v1.WindowsSecurityContextOptions{HostProcess: new(true)}}),
			"spec.containers[0].securityContext.windowsOptions: is for Windows; this node runs Linux containers only"},
		{"policy of groups", withPodSecurity(v1.PodSecurityContext{SupplementalGroupsPolicy: new(v1.SupplementalGroupsPolicy("Some"))}),
			"spec.securityContext.supplementalGroupsPolicy: Some is none of Merge, Strict"},
		{"sysctl of the machine", withSysctl("net.ipv4.tcp_wmem", "kernel.panic"),
			`spec.securityContext.sysctls[1].name: kernel.panic belongs to the whole machine; a pod may set kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.*`},
		{"sysctl that begins like another", withSysctl("kernel.semaphore"),
			`spec.securityContext.sysctls[0].name: kernel.semaphore belongs to the whole machine; a pod may set kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.*`},
		{"sysctl outside of its folder", withSysctl("net/../kernel/core_pattern"),
			`spec.securityContext.sysctls[0].name: net/../kernel/core_pattern is not the name of a sysctl`},
		{"sysctl with dots as steps", withSysctl("net...kernel.core_pattern"),
			`spec.securityContext.sysctls[0].name: net...kernel.core_pattern is not the name of a sysctl`},
		{"sysctl twice", withSysctl("net.ipv4.tcp_wmem", "net/ipv4/tcp_wmem"),
			`spec.securityContext.sysctls[1].name: net/ipv4/tcp_wmem is set twice`},
	})
}

func TestRefuseResources(t *testing.T) {
	check(t, []refusalCase{
		{"more than the limit", withResources(amounts("cpu", "1", "memory", "64Mi"), amounts("memory", "128Mi", "cpu", "2")),
			"spec.containers[0].resources.requests.cpu: 2 is more than the limit of 1; " +
				"spec.containers[0].resources.requests.memory: 128Mi is more than the limit of 64Mi"},
		{"more storage than the limit", withResources(amounts("ephemeral-storage", "1Gi"), amounts("ephemeral-storage", "1025Mi")),
			"spec.containers[0].resources.requests.ephemeral-storage: 1025Mi is more than the limit of 1Gi"},
		{"more than any machine has", withResources(amounts("cpu", "1P", "memory", "8Pi"), nil),
			"spec.containers[0].resources.limits.cpu: 1P is more than any machine has; " +
				"spec.containers[0].resources.limits.memory: 8Pi is more than any machine has"},
		{"what is no resource", withResources(nil, amounts("gpu", "1")),
			"spec.containers[0].resources.requests.gpu: is not a resource of a container; there are cpu, memory, ephemeral-storage and devices"},
		{"claims", withMain(func(c *v1.Container) { c.Resources.Claims = []v1.ResourceClaim{{Name: "gpu"}} }),
			"spec.containers[0].resources.claims: is not possible on this node: interLink does not send the devices that were allocated to a claim; ask for devices in resources.limits"},
	})
}

// TestRefuseFieldsIsBounded: the sentence ends up in the pod's status.
func TestRefuseFieldsIsBounded(t *testing.T) {
	pod := plainPod()
	for i := range 1000 {
		pod.Spec.HostAliases = append(pod.Spec.HostAliases, v1.HostAlias{IP: fmt.Sprintf("host-%d", i)})
	}
	err := refuse(pod)
	if err == nil || !strings.HasSuffix(err.Error(), `spec.hostAliases[9].ip: host-9 is not an IP address; and 990 more`) {
		t.Errorf("got %v", err)
	}
}

// TestFieldsThatAreFine holds the refusals to what Kubernetes refuses too.
func TestFieldsThatAreFine(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	probe := &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"true"}}}}
	for name, edit := range map[string]func(*v1.Pod){
		"the smallest":          func(*v1.Pod) {},
		"empty runtime class":   func(p *v1.Pod) { p.Spec.RuntimeClassName = new("") },
		"host users":            func(p *v1.Pod) { p.Spec.HostUsers = new(true) },
		"Linux":                 func(p *v1.Pod) { p.Spec.OS = &v1.PodOS{Name: v1.Linux} },
		"empty Windows options": withSecurity(v1.SecurityContext{WindowsOptions: &v1.WindowsSecurityContextOptions{}}),
		"process namespaces":    func(p *v1.Pod) { p.Spec.HostPID, p.Spec.ShareProcessNamespace = true, new(false) },
		"sidecar with probes": withInit(func(c *v1.Container) {
			c.RestartPolicy, c.LivenessProbe, c.StartupProbe, c.ReadinessProbe, c.Lifecycle = &always, probe, probe, probe, &v1.Lifecycle{}
		}),
		"one port, two protocols": withPorts(v1.ContainerPort{ContainerPort: 53, HostPort: 53}, v1.ContainerPort{ContainerPort: 53, HostPort: 53, Protocol: "UDP"}),
		"one port, two addresses": withPorts(
			v1.ContainerPort{ContainerPort: 80, HostPort: 80, HostIP: "127.0.0.1"}, v1.ContainerPort{ContainerPort: 80, HostPort: 80, HostIP: "127.0.0.2"}),
		"one port named by init and main": func(p *v1.Pod) {
			withPorts(v1.ContainerPort{ContainerPort: 80, HostPort: 8080})(p)
			withInit(func(c *v1.Container) { c.Ports = p.Spec.Containers[0].Ports })(p)
		},
		"port declared twice": withPorts(v1.ContainerPort{ContainerPort: 80, Name: "a"}, v1.ContainerPort{ContainerPort: 80, Name: "b"}, v1.ContainerPort{ContainerPort: 80}),
		"sysctls":             withSysctl("kernel.shm_rmid_forced", "net.ipv4.tcp_rmem", "net/ipv4/ping_group_range"),
		"resolver":            withDNS(v1.DNSNone, &v1.PodDNSConfig{Nameservers: []string{"fd00::1"}, Searches: []string{".", "_x.example.org."}, Options: []v1.PodDNSConfigOption{{Name: "edns0"}}}),
		"restart rules":       withRules(&always, restartOn("In", 1, 255), restartOn("NotIn")),
		"odd variable names":  withMain(func(c *v1.Container) { c.Env = []v1.EnvVar{{Name: "CM_a.txt"}, {Name: "1 - %(x)"}} }),
		"image by digest":     withMain(func(c *v1.Container) { c.Image = "reg.example:5000/a/b:tag@sha256:" + strings.Repeat("a", 64) }),
		"equal resources":     withResources(amounts("cpu", "1000m", "memory", "1Gi"), amounts("cpu", "1", "memory", "1024Mi")),
		"devices":             withResources(amounts("nvidia.com/gpu", "1", "hugepages-2Mi", "0"), nil),
		"root that may be":    withSecurity(v1.SecurityContext{RunAsUser: new(int64(0)), RunAsNonRoot: new(false)}),
		"root against the pod": func(p *v1.Pod) {
			withPodSecurity(v1.PodSecurityContext{RunAsUser: new(int64(0)), RunAsNonRoot: new(true)})(p)
			withSecurity(v1.SecurityContext{RunAsUser: new(int64(7))})(p)
		},
		"full name of 64 bytes": func(p *v1.Pod) {
			p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = strings.Repeat("h", 37), "sub", new(true)
		},
		// What a container waits with (CreateContainerConfigError, InvalidImageName).
		"root that must not be":  withSecurity(v1.SecurityContext{RunAsUser: new(int64(0)), RunAsNonRoot: new(true)}),
		"image that is no name":  withMain(func(c *v1.Container) { c.Image = "busy box" }),
		"init image in capitals": withInit(func(c *v1.Container) { c.Image = "Busybox" }),
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			edit(pod)
			if err := refuse(pod); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}
