package random

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kube/cases"
)

func quantity(format string, n int) resource.Quantity {
	return resource.MustParse(fmt.Sprintf(format, n))
}

// containerParts are the wishes of one container.
func containerParts(i int) []part {
	return []part{
		{40, own(i, box.variables)}, {40, own(i, box.limits)}, {25, own(i, box.capabilities)},
		{20, own(i, box.readOnlyRoot)}, {20, own(i, box.escalation)}, {20, own(i, box.seccomp)},
		{25, own(i, box.ownUser)}, {25, own(i, box.workingDir)}, {30, own(i, box.payload)},
		{25, own(i, box.subPath)}, {20, own(i, box.postStart)}, {20, own(i, box.probes)},
		{25, own(i, box.message)}, {15, own(i, box.end)}, {15, own(i, box.ports)},
		{15, own(i, box.scratch)}, {10, own(i, box.input)}, {15, own(i, box.again)}, {15, own(i, box.imageVolume)}, {15, own(i, box.ephemeral)}, {20, own(i, box.propagation)},
	}
}

// box is a container that is being put together.
type box struct {
	*maker
	// i is its index, c its place in the pod.
	i int
	c *v1.Container
}

// own makes a wish of one container a part of the pod.
func own(i int, add func(box)) func(*maker) {
	return func(m *maker) { add(box{m, i, m.at(i)}) }
}

func (m *maker) at(i int) *v1.Container { return &m.Spec.Containers[i] }

// show adds what the container must show.
func (b box) show(command, want string) { b.see(b.i, command, want) }

func (b box) variables() {
	for n := range 1 + b.IntN(4) {
		name, value := fmt.Sprintf("V%d", n), b.text()
		b.c.Env = append(b.c.Env, v1.EnvVar{Name: name, Value: value})
		b.show(`printf '%s\n' "$`+name+`"`, value)
	}
}

func (b box) limits() {
	cpu, memory := 100*(1+b.IntN(20)), 16*(1+b.IntN(16))
	asked := 1 + b.IntN(cpu)
	b.c.Resources = v1.ResourceRequirements{
		Limits:   v1.ResourceList{v1.ResourceCPU: quantity("%dm", cpu), v1.ResourceMemory: quantity("%dMi", memory)},
		Requests: v1.ResourceList{v1.ResourceCPU: quantity("%dm", asked)}}
	b.show("cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes 2>/dev/null", fmt.Sprint(memory<<20))
	b.show("cd /sys/fs/cgroup; cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us)", fmt.Sprintf("%d 100000", cpu*100))
	b.c.Env = append(b.c.Env, v1.EnvVar{Name: "ASKED", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "requests.cpu", Divisor: resource.MustParse("1m")}}},
		v1.EnvVar{Name: "LIMIT", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}})
	b.show(`printf '%s\n' "$ASKED" "$LIMIT"`, fmt.Sprintf("%d\n%d", asked, memory))
}

// kernelNumbers of the capabilities that are tried.
var kernelNumbers = map[v1.Capability]int{"CHOWN": 0, "FOWNER": 3, "KILL": 5, "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18}

// defaultCapabilities is what a container of Docker and containerd has.
const defaultCapabilities = 0xa80425fb

func (b box) capabilities() {
	names := []v1.Capability{"CHOWN", "FOWNER", "KILL", "NET_BIND_SERVICE", "NET_ADMIN", "NET_RAW", "SYS_CHROOT"}
	b.Shuffle(len(names), func(a, b int) { names[a], names[b] = names[b], names[a] })
	set, wish := uint64(defaultCapabilities), &v1.Capabilities{}
	if b.chance(30) {
		set, wish.Drop = 0, []v1.Capability{"ALL"}
	} else {
		for _, name := range names[:b.IntN(3)] {
			set, wish.Drop = set&^(1<<kernelNumbers[name]), append(wish.Drop, name)
		}
	}
	for _, name := range names[3 : 3+b.IntN(3)] {
		set, wish.Add = set|1<<kernelNumbers[name], append(wish.Add, pick(b.maker, name, "CAP_"+name))
	}
	context(b.c).Capabilities = wish
	b.show("grep CapBnd /proc/self/status | cut -f2", fmt.Sprintf("%016x", set))
}

func (b box) readOnlyRoot() {
	context(b.c).ReadOnlyRootFilesystem = new(true)
	b.show("touch /etc/x 2>/dev/null || echo refused; grep -c ' / [^ ]* ro' /proc/mounts", "refused\n1")
}

func (b box) escalation() {
	allowed := b.chance(50)
	context(b.c).AllowPrivilegeEscalation = &allowed
	want := "1"
	if allowed {
		want = "0"
	}
	b.show("grep NoNewPrivs /proc/self/status | cut -f2", want)
}

func (b box) seccomp() {
	kind, filters := v1.SeccompProfileTypeUnconfined, "1"
	if b.chance(50) {
		kind, filters = v1.SeccompProfileTypeRuntimeDefault, "2"
	}
	context(b.c).SeccompProfile = &v1.SeccompProfile{Type: kind}
	b.show("grep Seccomp_filters: /proc/self/status | cut -f2", filters)
}

func (b box) ownUser() {
	own := context(b.c)
	own.RunAsUser = new(int64(11000 + b.IntN(1000)))
	if b.chance(50) {
		own.RunAsGroup = new(int64(21000 + b.IntN(1000)))
	}
	own.RunAsNonRoot = new(true)
}

func (b box) workingDir() {
	b.c.WorkingDir = "/tmp/" + b.word()
	b.show("pwd", b.c.WorkingDir)
}

// payload is files of an object with modes of their own.
func (b box) payload() {
	name, key, value, mode := fmt.Sprintf("%s-%d", b.word(), b.i), b.word(), b.text(), pick(b.maker, int32(0o444), 0o644, 0o555, 0o664)
	data := map[string]map[string]string{name: {key: value, "other": "x"}}
	item := []v1.KeyToPath{{Key: key, Path: "in/" + key, Mode: new(mode)}}
	source := &v1.VolumeSource{}
	switch b.IntN(3) {
	case 0:
		b.ConfigMaps = merge(b.ConfigMaps, data)
		source.ConfigMap = &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: name}, Items: item}
	case 1:
		b.Secrets = merge(b.Secrets, data)
		source.Secret = &v1.SecretVolumeSource{SecretName: name, Items: item}
	case 2:
		b.Secrets = merge(b.Secrets, data)
		source.Projected = &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: name}, Items: item}}}}
	}
	b.mount(b.c, name, source, v1.VolumeMount{MountPath: "/payload", ReadOnly: b.chance(50)})
	b.show("cat /payload/in/"+key, value)
	// Every mode here lets the group read, so a group of the pod changes none.
	b.show("stat -Lc %a /payload/in/"+key, fmt.Sprintf("%o", mode))
	b.show("test -e /payload/other || echo only; touch /payload/x 2>/dev/null || echo refused", "only\nrefused")
}

func merge(a, b map[string]map[string]string) map[string]map[string]string {
	if a == nil {
		return b
	}
	for key, value := range b {
		a[key] = value
	}
	return a
}

// subPath is a part of the common folder, named by a variable or not.
func (b box) subPath() {
	b.share()
	word := b.word()
	mount := v1.VolumeMount{MountPath: "/part", SubPath: "parts/" + word}
	if b.chance(50) {
		b.c.Env = append(b.c.Env, v1.EnvVar{Name: "PART", Value: word})
		mount.SubPath, mount.SubPathExpr = "", "parts/$(PART)"
	}
	b.mount(b.c, "shared", nil, mount)
	b.show("echo x >/part/"+b.c.Name+"; cat "+shared+"/parts/"+word+"/"+b.c.Name, "x")
}

func (b box) postStart() {
	b.share()
	file := shared + "/post-" + b.c.Name
	b.c.Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"touch", file}}}}
	b.show("until test -e "+file+"; do usleep 20000; done; echo hooked", "hooked")
}

func (b box) probes() {
	b.share()
	file := shared + "/probe-" + b.c.Name
	exec := func(argv ...string) v1.ProbeHandler {
		return v1.ProbeHandler{Exec: &v1.ExecAction{Command: argv}}
	}
	b.c.StartupProbe = &v1.Probe{ProbeHandler: exec("touch", file), PeriodSeconds: 1, FailureThreshold: 100}
	b.c.LivenessProbe = &v1.Probe{ProbeHandler: exec("test", "-e", file), PeriodSeconds: 1, FailureThreshold: 3}
	if b.chance(50) {
		b.c.ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(9)}}, PeriodSeconds: 1}
	}
	b.show("until test -e "+file+"; do usleep 20000; done; echo probed", "probed")
}

func (b box) message() {
	text := b.word()
	b.c.TerminationMessagePath = "/dev/" + b.word()
	b.Then[b.c.Name] += "printf " + text + " >" + b.c.TerminationMessagePath + "\n"
	b.Ends[b.c.Name] = cases.End{Whole: &text, ExitCode: b.Ends[b.c.Name].ExitCode}
}

// end is an exit code; the pod has failed with one that is not 0.
func (b box) end() {
	if b.Spec.RestartPolicy != "" || b.c.RestartPolicy != nil {
		return
	}
	code := int32(b.IntN(256))
	end := b.Ends[b.c.Name]
	end.ExitCode = code
	b.Ends[b.c.Name] = end
	b.Then[b.c.Name] += fmt.Sprintf("exit %d\n", code)
	if code != 0 {
		b.Phase = v1.PodFailed
	}
}

func (b box) ports() {
	b.c.Ports = []v1.ContainerPort{{Name: b.word(), ContainerPort: int32(1024 + b.IntN(60000)), Protocol: pick(b.maker, v1.ProtocolTCP, v1.ProtocolUDP)}}
}

// scratch is a folder of the container alone.
func (b box) scratch() {
	name := fmt.Sprintf("scratch%d", b.i)
	b.mount(b.c, name, &v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}, v1.VolumeMount{MountPath: "/scratch"})
	want := "0 0 777"
	if pod := b.Spec.SecurityContext; pod != nil && pod.FSGroup != nil {
		want = fmt.Sprintf("0 %d 2777", *pod.FSGroup)
	}
	b.show("ls -A /scratch | wc -l; stat -c '%u %g %a' /scratch; touch /scratch/x && echo written; rm /scratch/x", "0\n"+want+"\nwritten")
}

func (b box) input() {
	b.c.Stdin = true
	b.show("test -t 0 || echo no terminal", "no terminal")
}

// again is a container whose first run fails by a code that its rules know.
func (b box) again() {
	if b.Ends[b.c.Name].ExitCode != 0 || slices.ContainsFunc(b.Spec.Containers, func(o v1.Container) bool { return o.RestartPolicy != nil }) {
		return
	}
	b.share()
	code := int32(1 + b.IntN(255))
	b.c.RestartPolicy = new(v1.ContainerRestartPolicyNever)
	b.c.RestartPolicyRules = []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestart,
		ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{code}}}}
	file := shared + "/been-" + b.c.Name
	b.Then[b.c.Name] = fmt.Sprintf("test -e %s || { touch %s; exit %d; }\n", file, file, code) + b.Then[b.c.Name]
	b.Restarts = map[string]int32{b.c.Name: 1}
}

// imageVolume is the files of an image, to read and to run.
func (b box) imageVolume() {
	b.mount(b.c, fmt.Sprintf("image%d", b.i), &v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: "@IMAGE@", PullPolicy: v1.PullIfNotPresent}}, v1.VolumeMount{MountPath: "/image"})
	word := b.word()
	b.show("/image/bin/busybox echo "+word+"; touch /image/x 2>/dev/null || echo refused", word+"\nrefused")
}

// ephemeral is a folder that the pod asks for as a claim of its own.
func (b box) ephemeral() {
	template := &v1.PersistentVolumeClaimTemplate{Spec: v1.PersistentVolumeClaimSpec{AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
		Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: quantity("%dMi", 1+b.IntN(100))}}}}
	b.mount(b.c, fmt.Sprintf("ephemeral%d", b.i), &v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{VolumeClaimTemplate: template}}, v1.VolumeMount{MountPath: "/ephemeral"})
	word := b.word()
	b.show("ls -A /ephemeral; echo "+word+" >/ephemeral/f; cat /ephemeral/f; rm /ephemeral/f", word)
}

// propagation says whether mounts that are made later arrive in the container.
func (b box) propagation() {
	mode, arrives := pick(b.maker, v1.MountPropagationNone, v1.MountPropagationHostToContainer), "no"
	if mode == v1.MountPropagationHostToContainer {
		arrives = "yes"
	}
	b.mount(b.c, fmt.Sprintf("propagation%d", b.i), &v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}, v1.VolumeMount{MountPath: "/propagation", MountPropagation: &mode})
	b.show("grep ' /propagation ' /proc/self/mountinfo | grep -q master: && echo yes || echo no", arrives)
}
