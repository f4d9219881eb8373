//go:build e2e

package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// invalidPods are pods that this node must not take, and the words that the
// refusal has to contain: the field at least.
var invalidPods = []struct {
	name string
	edit func(*v1.Pod, *v1.Container)
	want []string
}{
	{"hostNetwork", func(p *v1.Pod, _ *v1.Container) { p.Spec.HostNetwork = true }, []string{"spec.hostNetwork", "hostPort", "HostNetworkIsSandbox"}},
	{"runtimeClassName", func(p *v1.Pod, _ *v1.Container) { p.Spec.RuntimeClassName = ptr("kata") }, []string{"spec.runtimeClassName", "kata", "RuntimeClasses"}},
	{"hostUsers", func(p *v1.Pod, _ *v1.Container) { p.Spec.HostUsers = ptr(false) }, []string{"spec.hostUsers"}},
	{"windows", func(p *v1.Pod, _ *v1.Container) { p.Spec.OS = &v1.PodOS{Name: v1.Windows} }, []string{"spec.os.name", "Linux"}},
	{"ephemeral containers", func(p *v1.Pod, _ *v1.Container) { p.Spec.EphemeralContainers = []v1.EphemeralContainer{{}} }, []string{"spec.ephemeralContainers"}},
	{"resource claims", func(p *v1.Pod, _ *v1.Container) { p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "x"}} }, []string{"spec.resourceClaims"}},
	{"pod resources", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.Resources = ptr(limits("1", ""))
		p.Spec.Resources.Requests = limits("2", "").Requests
	}, []string{"spec.resources.requests"}},
	{"restart policy", func(p *v1.Pod, _ *v1.Container) { p.Spec.RestartPolicy = "Maybe" }, []string{"spec.restartPolicy", "Maybe"}},
	{"grace period", func(p *v1.Pod, _ *v1.Container) { p.Spec.TerminationGracePeriodSeconds = ptr(int64(-1)) }, []string{"spec.terminationGracePeriodSeconds"}},
	{"deadline", func(p *v1.Pod, _ *v1.Container) { p.Spec.ActiveDeadlineSeconds = ptr(int64(0)) }, []string{"spec.activeDeadlineSeconds"}},
	{"two process namespaces", func(p *v1.Pod, _ *v1.Container) { p.Spec.HostPID, p.Spec.ShareProcessNamespace = true, ptr(true) }, []string{"spec.shareProcessNamespace", "hostPID"}},
	{"hostname", func(p *v1.Pod, _ *v1.Container) { p.Spec.Hostname = "Not.A.Label" }, []string{"spec.hostname"}},
	{"subdomain", func(p *v1.Pod, _ *v1.Container) { p.Spec.Subdomain = "a_b" }, []string{"spec.subdomain"}},
	{"long full name", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = strings.Repeat("h", 40), strings.Repeat("s", 40), ptr(true)
	}, []string{"spec.setHostnameAsFQDN", "64"}},
	{"host alias", func(p *v1.Pod, _ *v1.Container) { p.Spec.HostAliases = []v1.HostAlias{{IP: "ten"}} }, []string{"spec.hostAliases[0].ip"}},
	{"no nameserver", func(p *v1.Pod, _ *v1.Container) { p.Spec.DNSPolicy = v1.DNSNone }, []string{"spec.dnsConfig.nameservers"}},
	{"resolv.conf injection", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.DNSConfig = &v1.PodDNSConfig{Options: []v1.PodDNSConfigOption{{Name: "ndots:1\nnameserver 6.6.6.6"}}}
	}, []string{"spec.dnsConfig.options[0]"}},
	{"sysctl of the host", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "kernel.core_pattern", Value: "|/x"}}}
	}, []string{"spec.securityContext.sysctls[0].name", "kernel.core_pattern"}},
	{"unsafe sysctl", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "net.core.somaxconn", Value: "1024"}}}
	}, []string{"spec.securityContext.sysctls[0].name", "SysctlForbidden", "net.core.somaxconn", "AllowedUnsafeSysctls"}},
	{"sysctl that climbs", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "net/../kernel/core_pattern"}}}
	}, []string{"spec.securityContext.sysctls[0].name"}},
	{"negative fsGroup", func(p *v1.Pod, _ *v1.Container) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: ptr(int64(-1))}
	}, []string{"spec.securityContext.fsGroup"}},
	{"privileged where not allowed", func(p *v1.Pod, c *v1.Container) { c.SecurityContext = &v1.SecurityContext{Privileged: ptr(true)} }, []string{"spec.containers[0].securityContext.privileged", "AllowPrivilegedPods"}},
	{"SYS_ADMIN", func(p *v1.Pod, c *v1.Container) {
		c.SecurityContext = &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"CAP_SYS_ADMIN"}}}
	}, []string{"spec.containers[0].securityContext.capabilities.add[0]", "SYS_ADMIN"}},
	{"unmasked proc", func(p *v1.Pod, c *v1.Container) {
		c.SecurityContext = &v1.SecurityContext{ProcMount: ptr(v1.UnmaskedProcMount)}
	}, []string{"spec.containers[0].securityContext.procMount"}},
	{"local seccomp profile", func(p *v1.Pod, c *v1.Container) {
		c.SecurityContext = &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost}}
	}, []string{"spec.containers[0].securityContext.seccompProfile"}},
	{"image", func(_ *v1.Pod, c *v1.Container) { c.Image = " busybox:1.36" }, []string{"spec.containers[0].image"}},
	{"image policy", func(_ *v1.Pod, c *v1.Container) { c.ImagePullPolicy = "Perhaps" }, []string{"spec.containers[0].imagePullPolicy"}},
	{"huge pages", func(_ *v1.Pod, c *v1.Container) {
		c.Resources.Limits = v1.ResourceList{"hugepages-2Mi": resource.MustParse("4Mi")}
	}, []string{"spec.containers[0].resources", "hugepages-2Mi"}},
	{"request over limit", func(_ *v1.Pod, c *v1.Container) {
		c.Resources = limits("1", "")
		c.Resources.Requests = v1.ResourceList{"cpu": resource.MustParse("2")}
	}, []string{"spec.containers[0].resources.requests.cpu"}},
	{"tiny memory", func(_ *v1.Pod, c *v1.Container) { c.Resources = limits("", "1Mi") }, []string{"spec.containers[0].resources.limits.memory"}},
	{"devices as a block", func(_ *v1.Pod, c *v1.Container) {
		c.VolumeDevices = []v1.VolumeDevice{{Name: "x", DevicePath: "/dev/x"}}
	}, []string{"spec.containers[0]", "volumeDevices"}},
	{"SCTP", func(_ *v1.Pod, c *v1.Container) {
		c.Ports = []v1.ContainerPort{{ContainerPort: 1, Protocol: v1.ProtocolSCTP}}
	}, []string{"spec.containers[0].ports[0].protocol"}},
	{"hostPort twice", func(_ *v1.Pod, c *v1.Container) {
		c.Ports = []v1.ContainerPort{{ContainerPort: 1, HostPort: 999}, {ContainerPort: 2, HostPort: 999}}
	}, []string{"spec.containers[0].ports[1].hostPort"}},
	{"two checks in a probe", func(_ *v1.Pod, c *v1.Container) {
		c.LivenessProbe = quickProbe(execProbe("true"))
		c.LivenessProbe.TCPSocket = &v1.TCPSocketAction{Port: intstr.FromInt32(1)}
	}, []string{"spec.containers[0].livenessProbe"}},
	{"port without that name", func(_ *v1.Pod, c *v1.Container) { c.ReadinessProbe = quickProbe(httpProbe("/", "web")) }, []string{"spec.containers[0].readinessProbe.httpGet.port", "web"}},
	{"startup threshold", func(_ *v1.Pod, c *v1.Container) {
		c.StartupProbe = quickProbe(execProbe("true"))
		c.StartupProbe.SuccessThreshold = 2
	}, []string{"spec.containers[0].startupProbe.successThreshold"}},
	{"probe of an init", func(p *v1.Pod, _ *v1.Container) {
		withInits(p, shell("i", "true"))
		p.Spec.InitContainers[0].LivenessProbe = quickProbe(execProbe("true"))
	}, []string{"spec.initContainers[0].livenessProbe"}},
	{"empty hook", func(_ *v1.Pod, c *v1.Container) { c.Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{}} }, []string{"spec.containers[0].lifecycle.preStop"}},
	{"rules without a policy", func(_ *v1.Pod, c *v1.Container) {
		c.RestartPolicyRules = []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestart, ExitCodes: &v1.ContainerRestartRuleOnExitCodes{
			Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{1}}}}
	}, []string{"spec.containers[0].restartPolicy"}},
	{"message path", func(_ *v1.Pod, c *v1.Container) { c.TerminationMessagePath = "/dev/../etc/passwd" }, []string{"spec.containers[0].terminationMessagePath"}},
	{"nfs", volumeOf(v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: "x", Path: "/"}}), []string{"spec.volumes[0]", "nfs"}},
	{"csi", volumeOf(v1.VolumeSource{CSI: &v1.CSIVolumeSource{Driver: "x"}}), []string{"spec.volumes[0]", "csi"}},
	{"no source", volumeOf(v1.VolumeSource{}), []string{"spec.volumes[0]", "source"}},
	{"unknown medium", volumeOf(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: "HugePages"}}), []string{"spec.volumes[0]", "medium"}},
	{"host path outside", volumeOf(hostDir("/etc")), []string{"spec.volumes[0]", "/etc", "HostPathPrefixes"}},
	{"host path type", volumeOf(hostPathOf("/tmp", "Pipe")), []string{"spec.volumes[0]", "Pipe"}},
	{"claim", volumeOf(claimOf("unknown", false)), []string{"spec.volumes[0]", "default/unknown", "PersistentVolumeClaims"}},
	{"secret that was not sent", volumeOf(v1.VolumeSource{Secret: secret("gone")}), []string{"spec.volumes[0]", "Secret gone"}},
	{"item that climbs", volumeOf(v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"},
		Items: []v1.KeyToPath{{Key: "a.txt", Path: "../../x"}}}}), []string{"spec.volumes[0]", "items[0]", ".."}},
	{"item without a key", volumeOf(v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"},
		Items: []v1.KeyToPath{{Key: "nokey", Path: "x"}}}}), []string{"spec.volumes[0]", "items[0]", "nokey"}},
	{"projected path that climbs", volumeOf(v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: []v1.DownwardAPIVolumeFile{
		{Path: "a/../../x", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}}), []string{"spec.volumes[0]", "items[0]", ".."}},
	{"local AppArmor profile", func(p *v1.Pod, c *v1.Container) {
		c.SecurityContext = &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost}}
	}, []string{"spec.containers[0].securityContext.appArmorProfile", "AppArmorProfiles"}},
	{"mode", volumeOf(v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "login", DefaultMode: ptr(int32(0o7777))}}), []string{"spec.volumes[0]", "defaultMode"}},
	{"two mounts at a path", func(p *v1.Pod, c *v1.Container) {
		withVolume(p, emptyDir(), "/vol")
		c.VolumeMounts = append(c.VolumeMounts, mount("vol", "/vol/"))
	}, []string{"spec.containers[0]", "volumeMounts[1]"}},
	{"both sub paths", func(p *v1.Pod, c *v1.Container) {
		withVolume(p, emptyDir(), "/vol")
		c.VolumeMounts[0].SubPath, c.VolumeMounts[0].SubPathExpr = "a", "b"
	}, []string{"spec.containers[0]", "volumeMounts[0]", "subPathExpr"}},
	{"Bidirectional", func(p *v1.Pod, c *v1.Container) {
		withVolume(p, emptyDir(), "/vol")
		c.VolumeMounts[0].MountPropagation = ptr(v1.MountPropagationBidirectional)
	}, []string{"spec.containers[0]", "Bidirectional"}},
	{"recursive of a host path", func(p *v1.Pod, c *v1.Container) {
		withVolume(p, hostDir("/cvmfs"), "/vol")
		c.VolumeMounts[0].ReadOnly, c.VolumeMounts[0].RecursiveReadOnly = true, ptr(v1.RecursiveReadOnlyEnabled)
	}, []string{"spec.containers[0]", "recursiveReadOnly", "IfPossible"}},
	{"flag by name", func(p *v1.Pod, _ *v1.Container) { p.Annotations = map[string]string{flagsKey: "--privileged"} }, []string{flagsKey, "privileged"}},
	{"flag without an end", func(p *v1.Pod, _ *v1.Container) { p.Annotations = map[string]string{flagsKey: `--env "A=b`} }, []string{flagsKey}},
}

func volumeOf(source v1.VolumeSource) func(*v1.Pod, *v1.Container) {
	return func(p *v1.Pod, _ *v1.Container) { withVolume(p, source, "/vol") }
}

// TestKubeRefusals: each is answered with a sentence that names the field, and
// nothing is left behind.
func TestKubeRefusals(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"AllowPrivilegedPods": false})
	d.waitWarm(t, 1)
	before := d.footprint(t)
	for _, c := range invalidPods {
		pod := newPod(shell("c", "true"))
		c.edit(pod, &pod.Spec.Containers[0])
		request := newCreate(pod)
		request.GiveData([]v1.ConfigMap{bytesMap()}, nil, []v1.Secret{loginSecret()})
		code, text := d.must(t, http.MethodPost, "/create", encode(t, request))
		if code == http.StatusOK {
			d.created(t, pod, code, text) // to be deleted at the end
		}
		if code != http.StatusBadRequest && code != http.StatusConflict {
			t.Errorf("%s: answered with %d %.300s", c.name, code, text)
		}
		if strings.ContainsAny(text, `"'<>&`) || strings.HasSuffix(strings.TrimSpace(text), "invalid argument") {
			t.Errorf("%s: a user would read entities of HTML, or the class of the error, in %.300s", c.name, text)
		}
		for _, word := range c.want {
			if !strings.Contains(text, word) {
				t.Errorf("%s: %q is not in %.300s", c.name, word, text)
			}
		}
	}
	if diff := cmp.Diff(before, d.footprint(t)); diff != "" {
		t.Errorf("refused pods left something behind (-before +after):\n%s", diff)
	}
	// The sandbox that was warm is as good as before.
	if got := d.run(t, newPod(shell("c", "echo alive"))).output(); got != "alive\n" {
		t.Errorf("log of a pod after all that = %q", got)
	}
}
