//go:build e2e

package e2e_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

const sortedGroups = "id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '"

func kubeUsers(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{
		"pod": {
			{"id -u; id -g; " + sortedGroups, "1000\n2000\n2000 3000 4000 4001 "},
			{"stat -c '%g %a' /disk /mem", "3000 2777\n3000 3777"},
			{"stat -c '%g %a' /cm/a.txt; cat /cm/a.txt", "3000 640\nalpha"},
			{"touch /disk/new && stat -c '%u %g' /disk/new", "1000 3000"},
			{"cat /sec/user", "me"},
			{"touch /root-only || echo refused", "touch: /root-only: Permission denied\nrefused"},
		},
		"own": {{"id -u; id -g; " + sortedGroups, "1001\n2001\n2001 3000 4000 4001 "}},
	}
	pod := lookPod(looks)
	pod.Spec.SecurityContext = &v1.PodSecurityContext{RunAsUser: ptr(int64(1000)), RunAsGroup: ptr(int64(2000)), RunAsNonRoot: ptr(true),
		SupplementalGroups: []int64{4000, 4001}, FSGroup: ptr(int64(3000))}
	named(t, pod, "own").SecurityContext = &v1.SecurityContext{RunAsUser: ptr(int64(1001)), RunAsGroup: ptr(int64(2001))}
	addVolume(pod, "disk", emptyDir())
	addVolume(pod, "mem", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}})
	addVolume(pod, "cm", configMap("cm"))
	pod.Spec.Volumes[2].ConfigMap.DefaultMode = ptr(int32(0o600))
	addVolume(pod, "sec", v1.VolumeSource{Secret: secret("login")})
	pod.Spec.Volumes[3].Secret.DefaultMode = ptr(int32(0o400))
	named(t, pod, "pod").VolumeMounts = []v1.VolumeMount{mount("disk", "/disk"), mount("mem", "/mem"), mount("cm", "/cm"), mount("sec", "/sec")}
	request := newCreate(pod)
	request.GiveData([]v1.ConfigMap{bytesMap()}, nil, []v1.Secret{loginSecret()})
	d.runRequest(t, request).checkLooks(looks)
}

// kubeGroups: with Merge the groups that the image has for a user are kept, whatever group
// the pod names; with Strict there are those of the pod alone.
func kubeGroups(t *testing.T, d kubeDaemon) {
	image := builtImage(t, "RUN echo worker:x:1010:1011::/:/bin/sh >>/etc/passwd; echo extra:x:50000:worker,root >>/etc/group; mv /etc/group /etc/real; ln -s real /etc/group",
		"USER worker:7")
	for policy, wants := range map[v1.SupplementalGroupsPolicy]map[string]string{
		"":                                {"named": "1010 7 4000 50000 ", "user": "1010 1011 4000 50000 ", "image": "1010 7 4000 50000 ", "group": "1010 8 4000 50000 ", "stranger": "2000 7 4000 "},
		v1.SupplementalGroupsPolicyMerge:  {"named": "1010 7 4000 50000 "},
		v1.SupplementalGroupsPolicyStrict: {"named": "1010 7 4000 ", "user": "1010 1011 4000 ", "image": "1010 7 4000 ", "stranger": "2000 7 4000 "},
	} {
		t.Run("policy "+string(policy), func(t *testing.T) {
			t.Parallel()
			looks := map[string][]sight{}
			for name, want := range wants {
				looks[name] = []sight{{"{ id -u; id -g; id -G | tr ' ' '\\n' | grep -vx \"$(id -g)\" | sort -n; } | tr '\\n' ' '", want}}
			}
			pod := lookPod(looks)
			pod.Spec.SecurityContext = &v1.PodSecurityContext{SupplementalGroups: []int64{4000}}
			if policy != "" {
				pod.Spec.SecurityContext.SupplementalGroupsPolicy = &policy
			}
			for i := range pod.Spec.Containers {
				c := &pod.Spec.Containers[i]
				c.Image = image
				c.SecurityContext = map[string]*v1.SecurityContext{
					"named":    {RunAsUser: ptr(int64(1010)), RunAsGroup: ptr(int64(7))},
					"user":     {RunAsUser: ptr(int64(1010))},
					"group":    {RunAsGroup: ptr(int64(8))},
					"stranger": {RunAsUser: ptr(int64(2000)), RunAsGroup: ptr(int64(7))},
				}[c.Name]
			}
			d.run(t, pod).checkLooks(looks)
		})
	}
}

const (
	effective = "grep CapEff /proc/self/status | cut -f2"
	bounding  = "grep CapBnd /proc/self/status | cut -f2"
)

func kubeCapabilities(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{
		// Docker's default set, which is also that of containerd.
		"plain":      {{effective, "00000000a80425fb"}, {"grep NoNewPrivs /proc/self/status | cut -f2", "0"}, {"grep Seccomp_filters: /proc/self/status | cut -f2", "2"}},
		"none":       {{effective, "0000000000000000"}, {bounding, "0000000000000000"}},
		"one":        {{effective, "0000000000000400"}},
		"more":       {{"ip link add dummy7 type bridge && ip link del dummy7 && echo allowed", "allowed"}},
		"less":       {{effective, "00000000a80405fb"}},
		"readonly":   {{"touch /x || echo refused", "touch: /x: Read-only file system\nrefused"}, {"touch /vol/x && echo written", "written"}},
		"noescalate": {{"grep NoNewPrivs /proc/self/status | cut -f2", "1"}},
		"unfiltered": {{"grep Seccomp_filters: /proc/self/status | cut -f2", "1"}},
		"filtered":   {{"grep Seccomp_filters: /proc/self/status | cut -f2", "2"}, {"unshare -m true || echo refused", "unshare: unshare(0x20000): Operation not permitted\nrefused"}},
		"masked":     {{"wc -c </proc/keys; ls /proc/acpi /sys/firmware", "0\n/proc/acpi:\n\n/sys/firmware:"}, {"cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern || echo refused", "sh: can't create /proc/sys/kernel/core_pattern: Read-only file system\nrefused"}},
	}
	pod := withVolume(lookPod(looks), emptyDir(), "/vol")
	for name, context := range map[string]*v1.SecurityContext{
		"none":       {Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}}},
		"one":        {Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}, Add: []v1.Capability{"NET_BIND_SERVICE"}}},
		"more":       {Capabilities: &v1.Capabilities{Add: []v1.Capability{"CAP_NET_ADMIN"}}},
		"less":       {Capabilities: &v1.Capabilities{Drop: []v1.Capability{"NET_RAW"}}},
		"readonly":   {ReadOnlyRootFilesystem: ptr(true)},
		"noescalate": {AllowPrivilegeEscalation: ptr(false)},
		"unfiltered": {SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}},
		"filtered":   {SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}},
	} {
		named(t, pod, name).SecurityContext = context
	}
	d.run(t, pod).checkLooks(looks)
}

// kubePrivileged: a privileged container is root in its sandbox and no further.
// What would change the host is tried with the value that is there already.
func kubePrivileged(t *testing.T, d kubeDaemon) {
	bounds := []sight{
		{"mkdir -p /m; mount -t tmpfs none /m 2>/dev/null || echo refused", "refused"},
		{"mount -t proc none /m 2>/dev/null || echo refused", "refused"},
		{"{ cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern; } 2>/dev/null || echo refused", "refused"},
		{"{ cat /sys/kernel/uevent_helper >/sys/kernel/uevent_helper; } 2>/dev/null || echo refused", "refused"},
		// Every block device of the host, made by number.
		{"awk 'NR>2{print $1, $2}' /proc/partitions | while read -r major minor; do mknod /b b $major $minor 2>/dev/null && head -c 1 /b >/dev/null 2>&1 && echo read $major $minor; rm -f /b; done", ""},
		{"awk 'NR>2{n++} END{print (n>0)}' /proc/partitions", "1"},
		// Memory, ports, kernel log, loop control, device mapper, KVM, FUSE.
		{"for n in '1 1' '1 2' '1 4' '1 11' '10 237' '10 236' '10 232' '10 229'; do mknod /k c $n; { : </k; } 2>/dev/null && echo opened $n; rm -f /k; done", ""},
		{"mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo made a control group", ""},
		// No engine listens in the pod's network; 127.0.0.11 is the host engine's resolver.
		{"awk '$4 == \"00010000\" && $8 ~ /^@/' /proc/net/unix; netstat -ltn | grep LISTEN | grep -v ' 127.0.0.11:'", ""},
		{"ls /dev/mem /dev/vda /dev/sda 2>/dev/null", ""},
	}
	looks := map[string][]sight{"all": append([]sight{
		{"ip link add dummy8 type bridge && ip link del dummy8 && echo network", "network"},
		{"grep Seccomp_filters: /proc/self/status | cut -f2", "1"},
		{"mknod /null c 1 3 && echo x >/null && echo device", "device"},
	}, bounds...), "capabilities": bounds}
	pod := lookPod(looks)
	named(t, pod, "all").SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	// With the sandbox's processes in view, none of their files are in reach.
	engines := []sight{{"for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in dockerd|containerd*) { ls $p/root/ || ls $p/cwd/ || readlink $p/fd/1 || cat <$p/fd/1 || cat $p/environ; } 2>/dev/null && echo in reach: $p; echo seen;; esac; done | sort -u", "seen"},
		{"ls /proc/1/root/ 2>/dev/null || echo refused", "refused"}}
	apart := lookPod(map[string][]sight{"c": engines})
	apart.Spec.HostPID = true
	apart.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	outside := d.run(t, apart)
	defer outside.checkLooks(map[string][]sight{"c": engines})
	named(t, pod, "capabilities").SecurityContext = &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"ALL"}},
		SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}}
	d.run(t, pod).checkLooks(looks)
}

func kubeSysctls(t *testing.T, d kubeDaemon) {
	settings := map[string]string{"net.core.somaxconn": "517", "kernel.shm_rmid_forced": "1", "net/ipv4/ip_local_port_range": "20000\t30000",
		"kernel.msgmax": "9000"}
	var shown []sight
	var wanted []v1.Sysctl
	for _, name := range sortedKeys(settings) {
		wanted = append(wanted, v1.Sysctl{Name: name, Value: settings[name]})
	}
	shown = append(shown, sight{"cd /proc/sys; cat net/core/somaxconn kernel/shm_rmid_forced net/ipv4/ip_local_port_range kernel/msgmax",
		"517\n1\n20000\t30000\n9000"})
	looks := map[string][]sight{"a": shown, "b": shown}
	pod := lookPod(looks)
	pod.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: wanted}
	d.run(t, pod).checkLooks(looks)
}
