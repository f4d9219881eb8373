package random

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/cases"
)

// podParts are the wishes of a pod as a whole.
var podParts = []part{
	{25, names}, {20, aliases}, {20, resolver}, {20, namespaces}, {20, sysctls}, {30, podUsers},
	{15, grace}, {30, labels}, {30, initContainer}, {15, sidecar}, {20, memory}, {25, sharedFile}, {20, ignored},
}

func names(m *maker) {
	spec, whole := &m.Spec, ""
	switch m.IntN(4) {
	case 0:
		spec.Hostname = m.word()
		whole = spec.Hostname
	case 1:
		spec.Hostname, spec.Subdomain = m.word(), m.word()
		whole = spec.Hostname
		m.all(fmt.Sprintf("grep -c '%s.%s.default.svc.cluster.local\t%s$' /etc/hosts", spec.Hostname, spec.Subdomain, spec.Hostname), "1")
	case 2:
		spec.Hostname, spec.Subdomain, spec.SetHostnameAsFQDN = m.word(), m.word(), new(true)
		whole = spec.Hostname + "." + spec.Subdomain + ".default.svc.cluster.local"
	case 3:
		spec.HostnameOverride = new(m.word() + "." + m.word())
		whole = *spec.HostnameOverride
	}
	m.all("hostname", whole)
}

func aliases(m *maker) {
	ip, name := fmt.Sprintf("10.%d.%d.%d", m.IntN(256), m.IntN(256), 1+m.IntN(254)), m.word()
	m.Spec.HostAliases = []v1.HostAlias{{IP: ip, Hostnames: []string{name + ".alias", name}}}
	m.all("grep '"+name+".alias' /etc/hosts | tr '\\t' ' '", ip+" "+name+".alias "+name)
}

func resolver(m *maker) {
	m.Spec.DNSPolicy = v1.DNSNone
	server, search := fmt.Sprintf("10.0.0.%d", 1+m.IntN(254)), m.word()+".example"
	m.Spec.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{server}, Searches: []string{search},
		Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: new("3")}}}
	m.all("grep -v '^#' /etc/resolv.conf | grep . | sort", "nameserver "+server+"\noptions ndots:3\nsearch "+search)
}

func namespaces(m *maker) {
	first := "no"
	switch m.IntN(3) {
	case 0:
		m.Spec.ShareProcessNamespace = new(true)
	case 1:
		m.Spec.HostPID = true
	case 2:
		m.Spec.HostIPC, first = true, "yes"
	}
	m.all("test $$ = 1 && echo yes || echo no", first)
}

func sysctls(m *maker) {
	values := map[string]string{"net.ipv4.ip_unprivileged_port_start": strconv.Itoa(m.IntN(1024)),
		"kernel.shm_rmid_forced": strconv.Itoa(m.IntN(2)), "net.ipv4.tcp_keepalive_time": strconv.Itoa(60 + m.IntN(1000))}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if m.chance(60) {
			m.podContext().Sysctls = append(m.podContext().Sysctls, v1.Sysctl{Name: name, Value: values[name]})
			m.all("cat /proc/sys/"+strings.ReplaceAll(name, ".", "/"), values[name])
		}
	}
}

func podUsers(m *maker) {
	pod := m.podContext()
	if m.chance(70) {
		pod.RunAsUser = new(int64(10000 + m.IntN(1000)))
	}
	if m.chance(50) {
		pod.RunAsGroup = new(int64(20000 + m.IntN(1000)))
	}
	if m.chance(50) {
		pod.FSGroup = new(int64(30000 + m.IntN(1000)))
	}
	for range m.IntN(4) {
		pod.SupplementalGroups = append(pod.SupplementalGroups, int64(40000+m.IntN(1000)))
	}
	if m.chance(40) {
		pod.SupplementalGroupsPolicy = new(pick(m, v1.SupplementalGroupsPolicyMerge, v1.SupplementalGroupsPolicyStrict))
	}
}

// users is what the wishes for users and groups come to in each container.
func (m *maker) users() {
	pod := m.Spec.SecurityContext
	if pod == nil {
		pod = &v1.PodSecurityContext{}
	}
	for i := range m.Spec.Containers {
		own := m.Spec.Containers[i].SecurityContext
		if own == nil {
			own = &v1.SecurityContext{}
		}
		user, group := first(own.RunAsUser, pod.RunAsUser), first(own.RunAsGroup, pod.RunAsGroup)
		m.see(i, "id -u; id -g", fmt.Sprintf("%d\n%d", user, group))
		// The image knows root alone, and its groups count with Merge.
		if strict := pod.SupplementalGroupsPolicy; user == 0 && (strict == nil || *strict != v1.SupplementalGroupsPolicyStrict) {
			continue
		}
		groups := append([]int64{group}, pod.SupplementalGroups...)
		if pod.FSGroup != nil {
			groups = append(groups, *pod.FSGroup)
		}
		slices.Sort(groups)
		want := strings.Trim(fmt.Sprint(slices.Compact(groups)), "[]")
		m.see(i, "id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' ' | sed 's/ $//'", want)
	}
}

func first(values ...*int64) int64 {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	return 0
}

func grace(m *maker) {
	m.Spec.TerminationGracePeriodSeconds, m.Spec.ActiveDeadlineSeconds = new(int64(m.IntN(100))), new(int64(100_000+m.IntN(1000)))
}

func labels(m *maker) {
	key, value := m.word(), m.word()
	m.Labels = map[string]string{key: value}
	m.Annotations = map[string]string{"example.com/" + key: m.text()}
	for i := range m.Spec.Containers {
		c := &m.Spec.Containers[i]
		for name, path := range map[string]string{"A_NAME": "metadata.name", "A_LABEL": "metadata.labels['" + key + "']", "AN_ANNOTATION": "metadata.annotations['example.com/" + key + "']"} {
			c.Env = append(c.Env, v1.EnvVar{Name: name, ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}})
		}
		m.see(i, `printf '%s\n' "$A_NAME" "$A_LABEL" "$AN_ANNOTATION"`, "@POD@\n"+value+"\n"+m.Annotations["example.com/"+key])
		m.mount(c, fmt.Sprintf("down%d", i), &v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: []v1.DownwardAPIVolumeFile{
			{Path: "deep/labels", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}, v1.VolumeMount{MountPath: "/down"})
		m.see(i, "cat /down/deep/labels", fmt.Sprintf("%s=%q", key, value))
	}
}

// initContainer leaves a word that the main containers find.
func initContainer(m *maker) {
	for i := range 1 + m.IntN(2) {
		name, text := fmt.Sprintf("init%d", i), m.word()
		file := shared + "/" + name
		m.Spec.InitContainers = append(m.Spec.InitContainers, v1.Container{Name: name, Command: []string{"sh", "-c", "echo " + text + " >" + file}, VolumeMounts: m.sharing()})
		m.all("cat "+file, text)
		m.Ends[name] = cases.End{ExitCode: 0, Reason: "Completed"}
	}
}

// sidecar is up, by its probe, before a main container starts.
func sidecar(m *maker) {
	const file = shared + "/sidecar"
	m.Spec.InitContainers = append(m.Spec.InitContainers, v1.Container{Name: "side", RestartPolicy: new(v1.ContainerRestartPolicyAlways), VolumeMounts: m.sharing(),
		Command:      []string{"sh", "-c", "trap 'exit 0' TERM; usleep 100000; echo up >" + file + "; while :; do sleep 1000 & wait $!; done"},
		StartupProbe: &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e", file}}}, PeriodSeconds: 1, FailureThreshold: 100}})
	m.all("cat "+file, "up")
}

// memory is a file system of a size.
func memory(m *maker) {
	size := 4 * (1 + m.IntN(8))
	source := &v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory, SizeLimit: new(quantity("%dMi", size))}}
	for i := range m.Spec.Containers {
		m.mount(&m.Spec.Containers[i], "memory", source, v1.VolumeMount{MountPath: "/memory"})
		source = nil
	}
	m.all("df -m /memory | awk 'END{print $1, $2}'", fmt.Sprintf("tmpfs %d", size))
}

// sharedFile is written by one container and read by all, at other places of the volume.
func sharedFile(m *maker) {
	m.share()
	text := m.word()
	m.see(0, "echo "+text+" >"+shared+"/word; echo written", "written")
	m.all("until test -s "+shared+"/word; do usleep 20000; done; cat "+shared+"/word", text)
}

// ignored fields change nothing.
func ignored(m *maker) {
	m.Spec.NodeSelector = map[string]string{m.word(): m.word()}
	m.Spec.Tolerations = []v1.Toleration{{Operator: v1.TolerationOpExists}}
	m.Spec.PriorityClassName, m.Spec.Priority = m.word(), new(int32(m.IntN(1000)))
	m.Spec.ImagePullSecrets = []v1.LocalObjectReference{{Name: m.word()}}
	m.Spec.EnableServiceLinks, m.Spec.SchedulerName = new(m.chance(50)), m.word()
}
