package pods

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

var testPlace = place{IP: "10.0.0.2", PIDNamespace: "container:pause", Log: engine.LogLimits{MaxBytes: 1 << 20, MaxFiles: 3}}

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
			got := containerSpec(pod, main, newEnvironment(pod, main, testPlace.IP), testPlace)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestContainerSpecInPrivilegedSandbox(t *testing.T) {
	at := testPlace
	at.PrivilegedSandbox = true
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
			got := containerSpec(pod, &pod.Spec.Containers[0], environment{}, at)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestContainerSpecSharesNothing: a container's list must not be another's.
func TestContainerSpecSharesNothing(t *testing.T) {
	pod, before := plainPod(), slices.Clone(pool.Capabilities)
	withSecurity(v1.SecurityContext{Privileged: new(true)})(pod)
	got := containerSpec(pod, &pod.Spec.Containers[0], environment{}, testPlace)
	got.CapAdd[0] = "CHANGED"
	if diff := cmp.Diff(before, pool.Capabilities); diff != "" {
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
	if err := refuseFields(pod); err != nil {
		t.Errorf("refused: %v", err)
	}
	if err := validatePod(pod); err != nil {
		t.Errorf("refused: %v", err)
	}
	main := &pod.Spec.Containers[0]
	got := containerSpec(pod, main, newEnvironment(pod, main, testPlace.IP), testPlace)
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

func TestHostname(t *testing.T) {
	long := strings.Repeat("p", 62)
	for name, c := range map[string]struct {
		edit func(*v1.Pod)
		want string
	}{
		"the pod's name":               {func(*v1.Pod) {}, "web"},
		"as asked":                     {func(p *v1.Pod) { p.Spec.Hostname = "db" }, "db"},
		"a name with dots":             {func(p *v1.Pod) { p.Name = "web.v1" }, "web.v1"},
		"63 characters":                {func(p *v1.Pod) { p.Name = long + "q" }, long + "q"},
		"cut to 63":                    {func(p *v1.Pod) { p.Name = long + "qr" }, long + "q"},
		"cut before a dash":            {func(p *v1.Pod) { p.Name = long + "-r" }, long},
		"cut before dots and dashes":   {func(p *v1.Pod) { p.Name = long[:60] + "-.-r" }, long[:60]},
		"subdomain alone":              {func(p *v1.Pod) { p.Spec.Subdomain = "sub" }, "web"},
		"full name":                    {func(p *v1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "sub", new(true) }, "web.sub.team.svc.cluster.local"},
		"full name not wanted":         {func(p *v1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "sub", new(false) }, "web"},
		"full name without subdomain":  {func(p *v1.Pod) { p.Spec.SetHostnameAsFQDN = new(true) }, "web"},
		"full name of a name as asked": {func(p *v1.Pod) { p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "db", "sub", new(true) }, "db.sub.team.svc.cluster.local"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			c.edit(pod)
			if got := hostname(pod); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestHostsFile(t *testing.T) {
	const head = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
	for name, c := range map[string]struct {
		edit func(*v1.Pod)
		want string
	}{
		"the pod's name": {func(*v1.Pod) {}, "10.0.0.2\tweb\n"},
		"subdomain":      {func(p *v1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "db", "sub" }, "10.0.0.2\tdb.sub.team.svc.cluster.local\tdb\n"},
		"full name of a name as asked": {func(p *v1.Pod) { p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "db", "sub", new(true) },
			"10.0.0.2\tdb.sub.team.svc.cluster.local\tdb\n"},
		"full name of the pod's name": {func(p *v1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "sub", new(true) },
			"10.0.0.2\tweb.sub.team.svc.cluster.local\tweb\n"},
		"aliases": {func(p *v1.Pod) {
			p.Spec.HostAliases = []v1.HostAlias{{IP: "10.1.2.3", Hostnames: []string{"db.local", "db"}}, {IP: "fd00::1", Hostnames: []string{"six"}}}
		}, "10.0.0.2\tweb\n\n# Entries added by HostAliases.\n10.1.2.3\tdb.local\tdb\nfd00::1\tsix\n"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			c.edit(pod)
			if diff := cmp.Diff(head+c.want, hostsFile(pod, "10.0.0.2")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestContainerResources has kubelet's numbers: CPU limits from 10m on, weights
// from 2 to 262144, and an OOM score by class.
func TestContainerResources(t *testing.T) {
	for name, c := range map[string]struct {
		limits, requests v1.ResourceList
		want             engine.Resources
	}{
		"none":                      {nil, nil, engine.Resources{CPUShares: 2, OOMScoreAdj: 1000}},
		"zeros are none":            {amounts("cpu", "0", "memory", "0"), amounts("cpu", "0"), engine.Resources{CPUShares: 2, OOMScoreAdj: 1000}},
		"devices are no class":      {amounts("nvidia.com/gpu", "1"), nil, engine.Resources{CPUShares: 2, OOMScoreAdj: 1000}},
		"fraction of a CPU":         {amounts("cpu", "100m"), nil, engine.Resources{NanoCPUs: 100_000_000, CPUShares: 102, OOMScoreAdj: 999}},
		"least CPU limit":           {amounts("cpu", "1m"), nil, engine.Resources{NanoCPUs: 10_000_000, CPUShares: 2, OOMScoreAdj: 999}},
		"least weight":              {nil, amounts("cpu", "1m"), engine.Resources{CPUShares: 2, OOMScoreAdj: 999}},
		"most weight":               {nil, amounts("cpu", "300"), engine.Resources{CPUShares: 262144, OOMScoreAdj: 999}},
		"request wins over limit":   {amounts("cpu", "2"), amounts("cpu", "1"), engine.Resources{NanoCPUs: 2_000_000_000, CPUShares: 1024, OOMScoreAdj: 999}},
		"guaranteed":                {amounts("cpu", "1", "memory", "1Gi"), amounts("cpu", "1000m", "memory", "1024Mi"), engine.Resources{NanoCPUs: 1_000_000_000, MemoryBytes: 1 << 30, CPUShares: 1024}},
		"guaranteed by limits":      {amounts("cpu", "1", "memory", "1Gi"), nil, engine.Resources{NanoCPUs: 1_000_000_000, MemoryBytes: 1 << 30, CPUShares: 1024}},
		"burstable by half":         {nil, amounts("memory", "32Gi"), engine.Resources{CPUShares: 2, OOMScoreAdj: 500}},
		"burstable, all the memory": {nil, amounts("memory", "4Pi"), engine.Resources{CPUShares: 2, OOMScoreAdj: 3}},
		"burstable, no memory":      {amounts("cpu", "1"), nil, engine.Resources{NanoCPUs: 1_000_000_000, CPUShares: 1024, OOMScoreAdj: 999}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			withResources(c.limits, c.requests)(pod)
			if diff := cmp.Diff(c.want, containerResources(pod, &pod.Spec.Containers[0])); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestClassIsThePods: one container that asks for nothing changes the class of
// the others.
func TestClassIsThePods(t *testing.T) {
	pod := plainPod()
	withResources(amounts("cpu", "1", "memory", "32Gi"), nil)(pod)
	withInit(func(*v1.Container) {})(pod)
	if got := oomScore(pod, &pod.Spec.Containers[0]); got != 500 {
		t.Errorf("main container: %d, want 500", got)
	}
	if got := oomScore(pod, &pod.Spec.InitContainers[0]); got != 999 {
		t.Errorf("init container: %d, want 999", got)
	}
}

func TestUserOfTheImage(t *testing.T) {
	for name, c := range map[string]struct {
		group       *int64
		user, image string
		want        string
	}{
		"no group":            {nil, "", "app:app", ""},
		"group and user":      {new(int64(5)), "7:5", "app", "7:5"},
		"group and image":     {new(int64(5)), "", "app", "app:5"},
		"group wins":          {new(int64(5)), "", "app:app", "app:5"},
		"group and no user":   {new(int64(5)), "", "", "0:5"},
		"group, image's user": {new(int64(0)), "", "1000", "1000:0"},
	} {
		t.Run(name, func(t *testing.T) {
			for level, edit := range map[string]func(*v1.Pod){
				"container": withSecurity(v1.SecurityContext{RunAsGroup: c.group}), "pod": withPodSecurity(v1.PodSecurityContext{RunAsGroup: c.group}),
			} {
				pod := plainPod()
				edit(pod)
				if got := withGroup(pod, &pod.Spec.Containers[0], c.user, c.image); got != c.want {
					t.Errorf("%s: got %q, want %q", level, got, c.want)
				}
			}
		})
	}
}

func TestCheckNonRoot(t *testing.T) {
	for name, c := range map[string]struct {
		must        bool
		user, image string
		want        string
	}{
		"may be root":        {false, "0", "", ""},
		"other user":         {true, "7:0", "root", ""},
		"image's user":       {true, "", "1000:1000", ""},
		"image without user": {true, "", "", "container main has runAsNonRoot and its image runs as root: set securityContext.runAsUser"},
		"image's root":       {true, "", "0:7", "container main has runAsNonRoot and its image runs as root: set securityContext.runAsUser"},
		"image's zeros":      {true, "", "00", "container main has runAsNonRoot and its image runs as root: set securityContext.runAsUser"},
		"image's name":       {true, "", "app", `container main has runAsNonRoot and its image has a non-numeric user "app": set securityContext.runAsUser`},
		"name and group":     {true, "app:5", "app", `container main has runAsNonRoot and its image has a non-numeric user "app": set securityContext.runAsUser`},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			withPodSecurity(v1.PodSecurityContext{RunAsNonRoot: &c.must})(pod)
			err := checkNonRoot(pod, &pod.Spec.Containers[0], c.user, c.image)
			if got := sentence(err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func sentence(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestHostPorts(t *testing.T) {
	pod := plainPod()
	withPorts(v1.ContainerPort{ContainerPort: 80}, v1.ContainerPort{ContainerPort: 80, HostPort: 8080},
		v1.ContainerPort{ContainerPort: 53, HostPort: 53, Protocol: "UDP", HostIP: "127.0.0.1"})(pod)
	want := []engine.Port{{Host: 8080, Container: 80, Protocol: "tcp"}, {HostIP: "127.0.0.1", Host: 53, Container: 53, Protocol: "udp"}}
	if diff := cmp.Diff(want, hostPorts(pod)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// An init container may name the same port; it can be published only once.
	withInit(func(c *v1.Container) { c.Ports = pod.Spec.Containers[0].Ports })(pod)
	if diff := cmp.Diff(want, hostPorts(pod)); diff != "" {
		t.Errorf("named by two containers: -want +got:\n%s", diff)
	}
}
