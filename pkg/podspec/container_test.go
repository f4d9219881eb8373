package podspec

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// testCapabilities are those of the sandboxes of testNode.
var testCapabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER",
	"KILL", "LEASE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE",
}

// testNode is where the pods of these tests run, and testIP and testPID where in it.
var testNode = Node{Capabilities: testCapabilities, Log: engine.LogLimits{MaxBytes: 1 << 20, MaxFiles: 3}}

const testIP, testPID = "10.0.0.2", "container:pause"

// plainSpec is what the smallest pod becomes.
func plainSpec() engine.Spec {
	return engine.Spec{
		Name:     "team-" + testUID + "-main",
		Hostname: "web",
		Env:      []string{},
		Labels: map[string]string{
			engine.LabelPodUID:             testUID,
			engine.LabelContainer:          "main",
			"io.kubernetes.pod.name":       "web",
			"io.kubernetes.pod.namespace":  "team",
			"io.kubernetes.pod.uid":        testUID,
			"io.kubernetes.container.name": "main",
		},
		Network:   "host",
		IPCMode:   "host",
		Resources: engine.Resources{CPUShares: 2, OOMScoreAdj: 1000},
		Log:       engine.LogLimits{MaxBytes: 1 << 20, MaxFiles: 3},
	}
}

// capabilitiesOfPods are written out, so that a capability that a sandbox gains
// does not reach pods unseen.
var capabilitiesOfPods = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER",
	"KILL", "LEASE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE",
}

// TestContainerSpec has the pod on the left, and on the right how its container
// differs from that of the smallest pod.
func TestContainerSpec(t *testing.T) {
	unconfined := &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}
	usual := &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}
	open := &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}
	for name, c := range map[string]struct {
		edit func(*v1.Pod)
		want func(*engine.Spec)
	}{
		"the smallest": {func(*v1.Pod) {}, func(*engine.Spec) {}},
		"command, args and variables": {withMain(func(c *v1.Container) {
			c.Command, c.Args = []string{"sh", "-c", "$(A) $B $$(A)"}, []string{"", "a b", "$(NO)", "'\"`\n"}
			c.Env, c.WorkingDir = literal("A", "x y", "E", ""), "/srv"
		}), func(s *engine.Spec) {
			s.Entrypoint, s.Cmd = []string{"sh", "-c", "x y $B $(A)"}, []string{"", "a b", "$(NO)", "'\"`\n"}
			s.Env, s.WorkingDir = []string{"A=x y", "E="}, "/srv"
		}},
		"args alone": {withMain(func(c *v1.Container) { c.Args = []string{"-v"} }), func(s *engine.Spec) { s.Cmd = []string{"-v"} }},
		"terminal":   {withMain(func(c *v1.Container) { c.Stdin, c.StdinOnce, c.TTY = true, true, true }), func(s *engine.Spec) { s.Stdin, s.StdinOnce, s.TTY = true, true, true }},
		"stop signal": {withMain(func(c *v1.Container) { c.Lifecycle = &v1.Lifecycle{StopSignal: new(v1.SIGINT)} }),
			func(s *engine.Spec) { s.StopSignal = "SIGINT" }},
		"process namespace of the sandbox": {func(p *v1.Pod) { p.Spec.HostPID = true }, func(s *engine.Spec) { s.PIDMode = "host" }},
		"process namespace of the pod":     {func(p *v1.Pod) { p.Spec.ShareProcessNamespace = new(true) }, func(s *engine.Spec) { s.PIDMode = "container:pause" }},
		"own process namespace":            {func(p *v1.Pod) { p.Spec.ShareProcessNamespace = new(false) }, func(*engine.Spec) {}},
		"user and group of the pod": {withPodSecurity(v1.PodSecurityContext{RunAsUser: new(int64(1000)), RunAsGroup: new(int64(2000)), FSGroup: new(int64(3000)), SupplementalGroups: []int64{4000, 5000}}),
			func(s *engine.Spec) { s.User, s.GroupAdd = "1000:2000", []string{"4000", "5000", "3000"} }},
		"user of the container, group of the pod": {func(p *v1.Pod) {
			withPodSecurity(v1.PodSecurityContext{RunAsUser: new(int64(1)), RunAsGroup: new(int64(2))})(p)
			withSecurity(v1.SecurityContext{RunAsUser: new(int64(0))})(p)
		}, func(s *engine.Spec) { s.User = "0:2" }},
		"user alone":          {withSecurity(v1.SecurityContext{RunAsUser: new(int64(7))}), func(s *engine.Spec) { s.User = "7" }},
		"group alone":         {withSecurity(v1.SecurityContext{RunAsGroup: new(int64(7))}), func(*engine.Spec) {}},
		"read-only root":      {withSecurity(v1.SecurityContext{ReadOnlyRootFilesystem: new(true)}), func(s *engine.Spec) { s.ReadonlyRootfs = true }},
		"no escalation":       {withSecurity(v1.SecurityContext{AllowPrivilegeEscalation: new(false)}), func(s *engine.Spec) { s.SecurityOpt = []string{"no-new-privileges"} }},
		"escalation":          {withSecurity(v1.SecurityContext{AllowPrivilegeEscalation: new(true)}), func(*engine.Spec) {}},
		"unmasked proc":       {withSecurity(v1.SecurityContext{ProcMount: new(v1.UnmaskedProcMount)}), func(s *engine.Spec) { s.UnmaskedSystemPaths = true }},
		"usual proc":          {withSecurity(v1.SecurityContext{ProcMount: new(v1.DefaultProcMount)}), func(*engine.Spec) {}},
		"capabilities":        {withSecurity(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"CAP_NET_ADMIN", "kill"}, Drop: []v1.Capability{"all"}}}), func(s *engine.Spec) { s.CapAdd, s.CapDrop = []string{"NET_ADMIN", "KILL"}, []string{"ALL"} }},
		"all capabilities":    {withSecurity(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"ALL"}}}), func(s *engine.Spec) { s.CapAdd = capabilitiesOfPods }},
		"profiles of the pod": {withPodSecurity(v1.PodSecurityContext{SeccompProfile: unconfined, AppArmorProfile: open}), func(s *engine.Spec) { s.SecurityOpt = []string{"seccomp=unconfined", "apparmor=unconfined"} }},
		"profile of the container wins": {func(p *v1.Pod) {
			withPodSecurity(v1.PodSecurityContext{SeccompProfile: unconfined})(p)
			withSecurity(v1.SecurityContext{SeccompProfile: usual})(p)
		}, func(*engine.Spec) {}},
		"privileged": {withSecurity(v1.SecurityContext{Privileged: new(true), Capabilities: &v1.Capabilities{Drop: []v1.Capability{"KILL"}}}), func(s *engine.Spec) {
			s.CapAdd = capabilitiesOfPods
			s.SecurityOpt = []string{"seccomp=unconfined", "apparmor=unconfined"}
		}},
		"privileged beside the sandbox's engine": {func(p *v1.Pod) {
			p.Spec.HostPID = true
			withSecurity(v1.SecurityContext{Privileged: new(true)})(p)
		}, func(s *engine.Spec) {
			s.CapAdd, s.PIDMode = slices.DeleteFunc(slices.Clone(capabilitiesOfPods), func(name string) bool { return name == "SYS_PTRACE" }), "host"
			s.SecurityOpt = []string{"seccomp=unconfined", "apparmor=unconfined"}
		}},
		"resolver": {withDNS(v1.DNSNone, &v1.PodDNSConfig{Nameservers: []string{"1.1.1.1"}, Searches: []string{"a", "b"}, Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: new("2")}, {Name: "edns0"}}}), func(s *engine.Spec) {
			s.DNS, s.DNSSearch, s.DNSOptions = []string{"1.1.1.1"}, []string{"a", "b"}, []string{"ndots:2", "edns0"}
		}},
		"resolver without searches": {withDNS(v1.DNSNone, &v1.PodDNSConfig{Nameservers: []string{"1.1.1.1"}}),
			func(s *engine.Spec) { s.DNS, s.DNSSearch = []string{"1.1.1.1"}, []string{"."} }},
		"resolver of the host": {withDNS(v1.DNSClusterFirst, nil), func(*engine.Spec) {}},
		"resources": {withResources(amounts("cpu", "1500m", "memory", "128Mi"), amounts("cpu", "250m", "memory", "64Mi")), func(s *engine.Spec) {
			s.Resources = engine.Resources{NanoCPUs: 1_500_000_000, MemoryBytes: 128 << 20, CPUShares: 256, OOMScoreAdj: 999}
		}},
		"full host name": {func(p *v1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "sub", new(true) },
			func(s *engine.Spec) { s.Hostname = "web.sub.team.svc.cluster.local" }},
	} {
		t.Run(name, func(t *testing.T) {
			pod, want := plainPod(), plainSpec()
			c.edit(pod)
			c.want(&want)
			main := &pod.Spec.Containers[0]
			got := containerSpec(pod, main, NewEnvironment(pod, main, testNode, testIP, nil), testNode, testPID)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestContainerSpecInPrivilegedSandbox(t *testing.T) {
	node := testNode
	node.PrivilegedSandbox = true
	for name, c := range map[string]struct {
		security v1.SecurityContext
		want     func(*engine.Spec)
	}{
		"privileged":       {v1.SecurityContext{Privileged: new(true)}, func(s *engine.Spec) { s.Privileged = true }},
		"all capabilities": {v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"ALL"}}}, func(s *engine.Spec) { s.CapAdd = []string{"ALL"} }},
	} {
		t.Run(name, func(t *testing.T) {
			pod, want := plainPod(), plainSpec()
			pod.Spec.Containers[0].SecurityContext = &c.security
			c.want(&want)
			got := containerSpec(pod, &pod.Spec.Containers[0], Environment{}, node, testPID)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestContainerSpecSharesNothing: a container's list must not be another's.
func TestContainerSpecSharesNothing(t *testing.T) {
	pod, before := plainPod(), slices.Clone(testCapabilities)
	withSecurity(v1.SecurityContext{Privileged: new(true)})(pod)
	got := containerSpec(pod, &pod.Spec.Containers[0], Environment{}, testNode, testPID)
	got.CapAdd[0] = "CHANGED"
	if diff := cmp.Diff(before, testCapabilities); diff != "" {
		t.Errorf("the sandboxes' capabilities were changed:\n%s", diff)
	}
}

// TestRecordedPod translates a create that interLink has sent.
func TestRecordedPod(t *testing.T) {
	body, err := os.ReadFile("../volumes/testdata/create-full-pod.json")
	if err != nil {
		t.Fatal(err)
	}
	var sent struct {
		Body struct{ Pod *v1.Pod }
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatal(err)
	}
	pod := sent.Body.Pod
	if err := refuse(pod); err != nil {
		t.Errorf("refused: %v", err)
	}
	main := &pod.Spec.Containers[0]
	got := containerSpec(pod, main, NewEnvironment(pod, main, testNode, testIP, nil), testNode, testPID)
	want := plainSpec()
	want.Name = pod.Namespace + "-" + string(pod.UID) + "-main"
	want.Hostname = "myhost"
	maps.Copy(want.Labels, map[string]string{engine.LabelPodUID: string(pod.UID), "io.kubernetes.pod.uid": string(pod.UID),
		"io.kubernetes.pod.name": "full-volumes", "io.kubernetes.pod.namespace": pod.Namespace})
	want.Entrypoint = []string{"sh", "-c"}
	want.Cmd = []string{"echo hello $(POD_NAME) $HOME; cat /etc/cm/a.txt"}
	want.Env = []string{"GREETING=hello $(POD_NAME)", "POD_NAME=full-volumes", `PASS=p$w'"d with spaces`,
		"CM_b.conf=k=v", "CM_a.txt=alpha\n", "user=me", `pass=p$w'"d with spaces`}
	want.WorkingDir, want.User, want.GroupAdd, want.PIDMode = "/srv", "1000:2000", []string{"4000", "3000"}, "container:pause"
	want.CapAdd, want.CapDrop = []string{"NET_ADMIN"}, []string{"ALL"}
	want.ReadonlyRootfs, want.SecurityOpt = true, []string{"no-new-privileges"}
	want.DNS, want.DNSSearch, want.DNSOptions = []string{"1.1.1.1"}, []string{"example.org"}, []string{"ndots:2"}
	want.Resources = engine.Resources{NanoCPUs: 1_500_000_000, MemoryBytes: 128 << 20, CPUShares: 256, OOMScoreAdj: 999}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func sentence(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
