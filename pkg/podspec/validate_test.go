package podspec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestValidatePod has what each pod must have on any node.
func TestValidatePod(t *testing.T) {
	const quoted = `metadata.uid: % is not a lower-case UUID`
	uid := func(text string) refusalCase {
		return refusalCase{"UID " + text, func(p *v1.Pod) { p.UID = types.UID(text) }, strings.Replace(quoted, "%", text, 1)}
	}
	const name = " is not a DNS name: lower-case letters, digits, hyphens and dots, at most 253 characters"
	const label = " is not a DNS label: lower-case letters, digits and hyphens, at most 63 characters"
	check(t, []refusalCase{
		{"no UID", func(p *v1.Pod) { p.UID = "" }, "metadata.uid: an empty value is not a lower-case UUID"},
		uid("0F9B1C1E-6A37-4B6E-9A51-2F6F3A1F2B3C"),
		uid("{0f9b1c1e-6a37-4b6e-9a51-2f6f3a1f2b3c}"),
		uid("0f9b1c1e6a374b6e9a512f6f3a1f2b3c"),
		uid("../../../../../../../../../../../etc"),
		{"no namespace", func(p *v1.Pod) { p.Namespace = "" }, "metadata.namespace: an empty value" + label},
		{"namespace that leaves", func(p *v1.Pod) { p.Namespace = "../x" }, "metadata.namespace: ../x" + label},
		{"no name", func(p *v1.Pod) { p.Name = "" }, "metadata.name: an empty value" + name},
		{"name with a space", func(p *v1.Pod) { p.Name = "a b" }, "metadata.name: a b" + name},
		{"no containers", func(p *v1.Pod) { p.Spec.Containers = nil }, "spec.containers: the pod has none"},
		{"restart policy", func(p *v1.Pod) { p.Spec.RestartPolicy = "Sometimes" }, `spec.restartPolicy: Sometimes is none of Always, OnFailure, Never`},
		{"container without a name", withMain(func(c *v1.Container) { c.Name = "" }), "spec.containers[0].name: an empty value" + label},
		{"container's name that leaves", withMain(func(c *v1.Container) { c.Name = ".." }), "spec.containers[0].name: .." + label},
		{"name used twice", func(p *v1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }, `spec.containers[1].name: main is used twice`},
		{"name of an init container", withInit(func(c *v1.Container) { c.Name = "main" }), `spec.containers[0].name: main is used twice`},
		{"variable with a NUL", withMain(func(c *v1.Container) { c.Env = literal("A", "1", "B", "x\x00y") }), "spec.containers[0].env[1].value: contains a NUL byte"},
		{"command with a NUL", withMain(func(c *v1.Container) { c.Command = []string{"sh", "\x00"} }), "spec.containers[0].command[1]: contains a NUL byte"},
		{"args with a NUL", withInit(func(c *v1.Container) { c.Args = []string{"a\x00"} }), "spec.initContainers[0].args[0]: contains a NUL byte"},
		{"variables in all", withMain(func(c *v1.Container) { c.Env = sameSize(64, 100<<10) }), `spec.containers[0].env: V61 makes them longer than Linux allows: 128 KiB for one variable or argument, 6 MiB for all of a container`},
		{"argument of variables", withInit(func(c *v1.Container) {
			c.Env, c.Args = sameSize(1, 1000), []string{"a", strings.Repeat("$(V0)", 1<<20)}
		}),
			"spec.initContainers[0].args[1]: longer than Linux allows: 128 KiB for one variable or argument, 6 MiB for all of a container"},
		{"working directory", withMain(func(c *v1.Container) { c.WorkingDir = "srv" }), `spec.containers[0].workingDir: srv is not an absolute path`},
		{"negative amount", withResources(amounts("memory", "-1Gi"), nil), "spec.containers[0].resources.limits.memory: -1Gi is negative"},
		{"negative request", withResources(nil, amounts("cpu", "-1")), "spec.containers[0].resources.requests.cpu: -1 is negative"},
		{"huge pages", withResources(amounts("hugepages-2Mi", "4Mi"), nil), "spec.containers[0].resources.limits.hugepages-2Mi: this node has no huge pages of this size; leave it out"},
		{"too little memory", withResources(amounts("memory", "5Mi"), nil), "spec.containers[0].resources.limits.memory: 5Mi is less than the 6Mi that a container needs"},
		{"memory in thousandths", withResources(amounts("memory", "512m"), nil), "spec.containers[0].resources.limits.memory: 512m is less than the 6Mi that a container needs"},
		{"probe without a handler", withMain(func(c *v1.Container) { c.LivenessProbe = &v1.Probe{} }),
			"spec.containers[0].livenessProbe: has 0 handlers, must have exactly one of exec, httpGet, tcpSocket or grpc"},
	})
}

// TestValuesThatDouble: where values are expanded here, a few bytes of them must not
// become gigabytes.
func TestValuesThatDouble(t *testing.T) {
	pod := plainPod()
	pod.Spec.Containers[0].Env = doubling(40)
	const want = "spec.containers[0].env: V17 makes them longer than Linux allows: 128 KiB for one variable or argument, 6 MiB for all of a container"
	if err := Refusal(Validate(pod, expanding)); sentence(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := refuse(pod); err != nil {
		t.Errorf("refused although they are final: %v", err)
	}
}

// doubling are variables of which each is twice the one before it.
func doubling(n int) []v1.EnvVar {
	out := literal("V0", "x")
	for i := 1; i < n; i++ {
		out = append(out, literal(fmt.Sprintf("V%d", i), strings.Repeat(fmt.Sprintf("$(V%d)", i-1), 2))...)
	}
	return out
}

func sameSize(n, size int) []v1.EnvVar {
	var out []v1.EnvVar
	for i := range n {
		out = append(out, literal(fmt.Sprintf("V%d", i), strings.Repeat("x", size))...)
	}
	return out
}

// TestValidatePodRefusesFields: the create of such a pod must not pass.
func TestValidatePodRefusesFields(t *testing.T) {
	check(t, []refusalCase{
		{"host network", func(p *v1.Pod) { p.Spec.HostNetwork = true },
			"spec.hostNetwork: is the network of the host, which no pod of this node gets; leave it out and publish ports with hostPort, or ask the operator of this node for HostNetworkIsSandbox"},
		{"sysctl that leaves", withSysctl("net/../kernel/core_pattern"),
			`spec.securityContext.sysctls[0].name: net/../kernel/core_pattern is not the name of a sysctl`},
	})
}

func TestValidateSecurity(t *testing.T) {
	local := &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost}
	check(t, []refusalCase{
		{"privileged", withSecurity(v1.SecurityContext{Privileged: new(true)}),
			"spec.containers[0].securityContext.privileged: privileged containers are not allowed on this node (AllowPrivilegedPods)"},
		{"capability", withSecurity(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"KILL", "CAP_SYS_MODULE"}}}),
			"spec.containers[0].securityContext.capabilities.add[1]: SYS_MODULE is not available on this node"},
		{"capability to mount", withSecurity(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"sys_admin"}}}),
			"spec.containers[0].securityContext.capabilities.add[0]: SYS_ADMIN is not available on this node; FUSE file systems are mounted below an emptyDir without it, " +
				"and for other mounts ask the operator of this node for PrivilegedPodsMayMount"},
		{"capability to trace the sandbox", func(p *v1.Pod) {
			p.Spec.HostPID = true
			withSecurity(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"SYS_PTRACE"}}})(p)
		}, "spec.containers[0].securityContext.capabilities.add[0]: SYS_PTRACE is not available on this node"},
		{"seccomp of the pod", withPodSecurity(v1.PodSecurityContext{SeccompProfile: local}),
			"spec.securityContext.seccompProfile.localhostProfile: this node has no profiles of its own: ask its operator for SeccompProfileRoot"},
		{"seccomp of an init container", withInit(func(c *v1.Container) { c.SecurityContext = &v1.SecurityContext{SeccompProfile: local} }),
			"spec.initContainers[0].securityContext.seccompProfile.localhostProfile: this node has no profiles of its own: ask its operator for SeccompProfileRoot"},
		{"AppArmor", withSecurity(v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost}}),
			"spec.containers[0].securityContext.appArmorProfile.localhostProfile: this node has no profiles of its own: ask its operator for AppArmorProfiles"},
	})
}

// refuse is the refusal of a pod on a node that allows least.
func refuse(pod *v1.Pod) error { return Refusal(Validate(pod, testNode)) }

// TestRefusalsAreSteady: the same pod gets the same sentence each time.
func TestRefusalsAreSteady(t *testing.T) {
	for name, edit := range map[string]func(*v1.Pod){
		"containers": func(p *v1.Pod) {
			withInit(func(c *v1.Container) { c.WorkingDir = "a" })(p)
			p.Spec.Containers[0].WorkingDir = "b"
		},
		"command and args": withMain(func(c *v1.Container) { c.Command, c.Args = []string{"\x00"}, []string{"\x00"} }),
		"resources":        withResources(amounts("cpu", "-1", "memory", "-1", "hugepages-1Gi", "1"), nil),
		"security": func(p *v1.Pod) {
			withInit(func(c *v1.Container) { c.SecurityContext = &v1.SecurityContext{Privileged: new(true)} })(p)
			withSecurity(v1.SecurityContext{Privileged: new(true)})(p)
		},
		"fields": func(p *v1.Pod) {
			withInit(func(c *v1.Container) { c.Resources.Limits = amounts("a", "1", "b", "1", "c", "1") })(p)
			withMain(func(c *v1.Container) { c.Resources.Requests = amounts("a", "1", "b", "1", "c", "1") })(p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			for range 100 {
				pod := plainPod()
				edit(pod)
				seen = append(seen, sentence(refuse(pod)))
			}
			slices.Sort(seen)
			if different := slices.Compact(seen); len(different) != 1 || different[0] == "" {
				t.Errorf("%d sentences, one would do:\n%s", len(different), strings.Join(different, "\n"))
			}
		})
	}
}

// TestLocalhostProfiles: where the node has a folder of them, a name has to stay below it.
func TestLocalhostProfiles(t *testing.T) {
	node := testNode
	node.SeccompRoot = "/profiles"
	const at = "spec.containers[0].securityContext.seccompProfile.localhostProfile: "
	for _, c := range []struct {
		kind v1.SeccompProfileType
		name *string
		want string
	}{
		{"Localhost", new("a/b.json"), ""},
		{"Localhost", nil, at + "an empty value is not a relative path without .."},
		{"Localhost", new(""), at + "an empty value is not a relative path without .."},
		{"Localhost", new("/etc/x"), at + "/etc/x is not a relative path without .."},
		{"Localhost", new("a/../../x"), at + "a/../../x is not a relative path without .."},
		{"RuntimeDefault", new("a"), at + "can be set with type Localhost only"},
		{"RuntimeDefault", nil, ""},
	} {
		pod := plainPod()
		withSecurity(v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: c.kind, LocalhostProfile: c.name}})(pod)
		if err := Refusal(Validate(pod, node)); sentence(err) != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
