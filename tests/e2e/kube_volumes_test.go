//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func kubeEmptyDir(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{
		"one": {
			{"cat /shared/from-init", "init"},
			{"stat -c %a /shared", "777"},
			{"grep -c ' /mem tmpfs' /proc/mounts", "1"},
			{"grep -c ' /shared tmpfs' /proc/mounts", "0"},
			{"df -m /mem | awk 'END{print $2}'", "16"},
			{"dd if=/dev/zero of=/mem/large bs=1M count=20 2>&1 | grep -c 'No space'; rm /mem/large", "1"},
			{"echo sub >/sub/f && cat /shared/a/b/f", "sub"},
			{"echo expr >/expr/f && cat /shared/kube-one/x/f", "expr"},
			{"echo memory >/memsub/f && cat /mem/part/f", "memory"},
			{"touch /ro/x || echo refused", "touch: /ro/x: Read-only file system\nrefused"},
			{"touch /etc/app/cache/x && cat /etc/app/a.txt", "alpha"},
			{"touch /shared/one-is-done", ""},
		},
		"two": {
			{"until test -e /elsewhere/one-is-done; do usleep 20000; done; cat /elsewhere/a/b/f", "sub"},
			{"cat /mem2/part/f", "memory"},
		},
	}
	pod := withInits(lookPod(looks), shell("init", "echo init >/shared/from-init"))
	limit := resource.MustParse("16Mi")
	addVolume(pod, "shared", emptyDir())
	addVolume(pod, "mem", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory, SizeLimit: &limit}})
	addVolume(pod, "cm", configMap("cm"))
	named(t, pod, "init").VolumeMounts = []v1.VolumeMount{mount("shared", "/shared")}
	one := named(t, pod, "one")
	one.Env = []v1.EnvVar{{Name: "WHERE", Value: "kube-one"}}
	one.VolumeMounts = []v1.VolumeMount{mount("shared", "/shared"), mount("mem", "/mem"),
		{Name: "shared", MountPath: "/sub", SubPath: "a/b"}, {Name: "shared", MountPath: "/expr", SubPathExpr: "$(WHERE)/x"},
		{Name: "mem", MountPath: "/memsub", SubPath: "part"}, {Name: "shared", MountPath: "/ro", ReadOnly: true},
		mount("cm", "/etc/app"), mount("shared", "/etc/app/cache")}
	named(t, pod, "two").VolumeMounts = []v1.VolumeMount{mount("shared", "/elsewhere"), mount("mem", "/mem2")}
	request := newCreate(pod)
	request.GiveData([]v1.ConfigMap{bytesMap()}, nil, nil)
	d.runRequest(t, request).checkLooks(looks)
}

// kubeEmptyDirModes are those of kubelet: a volume in memory is sticky, with fsGroup both have
// the group and hand it on; the folder of a subPath is like the volume, those on the way to it
// are not writable for others.
func kubeEmptyDirModes(t *testing.T, d kubeDaemon) {
	for group, want := range map[int64][]string{
		0:    {"777 0", "1777 0", "777 0", "1777 0", "755 0", "755 0"},
		3000: {"2777 3000", "3777 3000", "2777 3000", "3777 3000", "2755 3000", "2755 3000"},
	} {
		t.Run(fmt.Sprintf("fsGroup %d", group), func(t *testing.T) {
			t.Parallel()
			looks := map[string][]sight{"c": {{"stat -c '%a %g' /disk /mem /disksub /memsub /disk/way /mem/way", strings.Join(want, "\n")}},
				// Of another user, who may write in both leaves.
				"other": {{"touch /disksub/f /memsub/f && stat -c %u /disksub/f", "1234"}}}
			pod := lookPod(looks)
			addVolume(pod, "disk", emptyDir())
			addVolume(pod, "mem", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}})
			for _, name := range []string{"c", "other"} {
				named(t, pod, name).VolumeMounts = []v1.VolumeMount{mount("disk", "/disk"), mount("mem", "/mem"),
					{Name: "disk", MountPath: "/disksub", SubPath: "way/to"}, {Name: "mem", MountPath: "/memsub", SubPath: "way/to"}}
			}
			named(t, pod, "other").SecurityContext = &v1.SecurityContext{RunAsUser: ptr(int64(1234))}
			if group != 0 {
				pod.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: &group}
			}
			d.run(t, pod).checkLooks(looks)
		})
	}
}

// kubeEmptyDirPropagation: Kubernetes allows HostToContainer on every volume.
func kubeEmptyDirPropagation(t *testing.T, d kubeDaemon) {
	pod := withVolume(newPod(shell("c", "touch /vol/x && echo written")), emptyDir(), "/vol")
	pod.Spec.Containers[0].VolumeMounts[0].MountPropagation = ptr(v1.MountPropagationHostToContainer)
	if got := d.run(t, pod).output(); got != "written\n" {
		t.Errorf("log = %q", got)
	}
}

func bytesMap() v1.ConfigMap {
	return v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"},
		Data:       map[string]string{"a.txt": "alpha\n", "b.conf": "k=v"},
		BinaryData: map[string][]byte{"raw.bin": {0, 1, 2, 0xff, 0xfe}}}
}

func loginSecret() v1.Secret {
	return v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "login", Namespace: "default"},
		Data: map[string][]byte{"user": []byte("me"), "pass": []byte("p$w'\"d\n"), "key": {0xff, 0}}}
}

func secret(name string) *v1.SecretVolumeSource { return &v1.SecretVolumeSource{SecretName: name} }

// kubePayloads: all options of configMap and secret volumes, in several
// containers and an init container.
func kubePayloads(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{
		"main": {
			{"ls /all", "a.txt\nb.conf\nraw.bin"},
			{"cat /all/a.txt", "alpha"},
			{"xxd -p /all/raw.bin", "000102fffe"},
			{"stat -L -c %a /all/a.txt /all/raw.bin", "440\n440"},
			{"cmp /all/a.txt /again/a.txt && echo same", "same"},
			{"cat /single; touch /single || echo refused", "alpha\ntouch: /single: Read-only file system\nrefused"},
			{"find /items -type f | sort", "/items/b\n/items/deep/er/a"},
			{"stat -c %a /items/deep/er/a /items/b", "400\n644"},
			{"ls -A /gone", ""},
			{"find /some -type f", "/some/a"},
			{"touch /all/x || echo refused", "touch: /all/x: Read-only file system\nrefused"},
			{"ls /sec", "key\npass\nuser"},
			{"cat /sec/pass", "p$w'\"d"},
			{"stat -c %a /sec/pass", "400"},
			{"xxd -p /sec/key", "ff00"},
			{"find /secitems -type f; stat -c %a /secitems/u/name; cat /secitems/u/name", "/secitems/u/name\n600\nme"},
			{"ls -A /secgone", ""},
			{"cat /default/user; stat -c %a /default/user", "me644"},
		},
		"other": {{"cat /other/a.txt /othersec/user", "alpha\nme"}},
	}
	pod := withInits(lookPod(looks), shell("init", "cat /init/b.conf"))
	source := func(edit func(*v1.ConfigMapVolumeSource)) v1.VolumeSource {
		s := configMap("cm")
		edit(s.ConfigMap)
		return s
	}
	addVolume(pod, "all", source(func(s *v1.ConfigMapVolumeSource) { s.DefaultMode = ptr(int32(0o440)) }))
	addVolume(pod, "again", configMap("cm"))
	addVolume(pod, "items", source(func(s *v1.ConfigMapVolumeSource) {
		s.Items = []v1.KeyToPath{{Key: "a.txt", Path: "deep/er/a", Mode: ptr(int32(0o400))}, {Key: "b.conf", Path: "b"}}
		s.DefaultMode = ptr(int32(0o644))
	}))
	addVolume(pod, "gone", source(func(s *v1.ConfigMapVolumeSource) { s.Name, s.Optional = "nowhere", ptr(true) }))
	addVolume(pod, "some", source(func(s *v1.ConfigMapVolumeSource) {
		s.Items, s.Optional = []v1.KeyToPath{{Key: "a.txt", Path: "a"}, {Key: "nokey", Path: "b"}}, ptr(true)
	}))
	addVolume(pod, "sec", v1.VolumeSource{Secret: secret("login")})
	pod.Spec.Volumes[5].Secret.DefaultMode = ptr(int32(0o400))
	addVolume(pod, "secitems", v1.VolumeSource{Secret: secret("login")})
	pod.Spec.Volumes[6].Secret.Items = []v1.KeyToPath{{Key: "user", Path: "u/name", Mode: ptr(int32(0o600))}}
	addVolume(pod, "secgone", v1.VolumeSource{Secret: secret("nowhere")})
	pod.Spec.Volumes[7].Secret.Optional = ptr(true)
	addVolume(pod, "default", v1.VolumeSource{Secret: secret("login")})
	named(t, pod, "main").VolumeMounts = []v1.VolumeMount{mount("all", "/all"), mount("again", "/again"), mount("items", "/items"),
		mount("gone", "/gone"), mount("some", "/some"), mount("sec", "/sec"), mount("secitems", "/secitems"), mount("secgone", "/secgone"),
		mount("default", "/default"), {Name: "again", MountPath: "/single", SubPath: "a.txt"}}
	named(t, pod, "other").VolumeMounts = []v1.VolumeMount{mount("all", "/other"), mount("sec", "/othersec")}
	named(t, pod, "init").VolumeMounts = []v1.VolumeMount{mount("all", "/init")}
	request := newCreate(pod)
	// Once per mount, as interLink sends them (protocol 1.3).
	request.GiveData([]v1.ConfigMap{bytesMap(), bytesMap(), bytesMap()}, nil, []v1.Secret{loginSecret(), loginSecret()})
	p := d.runRequest(t, request)
	p.checkLooks(looks)
	if got := p.logs("init", logOptions{}); got != "k=v" {
		t.Errorf("log of the init container = %q", got)
	}
}

func kubeProjected(t *testing.T, d kubeDaemon) {
	looks := map[string][]sight{"main": {
		{"find /proj -type f | sort", "/proj/cfg/deep/a\n/proj/ns\n/proj/pass\n/proj/token\n/proj/user"},
		{"cat /proj/cfg/deep/a", "alpha"},
		{"stat -c %a /proj/cfg/deep/a /proj/ns", "400\n440"},
		{"cat /proj/ns /proj/token", "defaulttoken"},
		{"cat /proj/user", "me"},
		{"touch /proj/x || echo refused", "touch: /proj/x: Read-only file system\nrefused"},
		{"find /down -type f | sort", "/down/cpu/limit\n/down/disk\n/down/labels\n/down/mem\n/down/name\n/down/note\n/down/request"},
		{"cat /down/cpu/limit; echo; cat /down/mem; echo; cat /down/request", "1500\n64\n2"},
		// An unset limit is what the node has, the same in a file and in a variable.
		{`test "$DISK" = "$(cat /down/disk)" && test "$DISK" -gt 1 && echo same`, "same"},
		{"cat /down/labels", `app="x"` + "\n" + `tier="1"`},
		{"cat /down/name /down/note; stat -c %a /down/name", "kube-downa note400"},
	}}
	pod := lookPod(looks)
	pod.Name, pod.Labels, pod.Annotations = "kube-down", map[string]string{"tier": "1", "app": "x"}, map[string]string{"my/note": "a note"}
	named(t, pod, "main").Resources = v1.ResourceRequirements{
		Limits:   v1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("64Mi")},
		Requests: v1.ResourceList{"cpu": resource.MustParse("1200m")}}
	field := func(path, from string) v1.DownwardAPIVolumeFile {
		return v1.DownwardAPIVolumeFile{Path: path, FieldRef: &v1.ObjectFieldSelector{FieldPath: from}}
	}
	amount := func(path, from, divisor string) v1.DownwardAPIVolumeFile {
		return v1.DownwardAPIVolumeFile{Path: path, ResourceFieldRef: &v1.ResourceFieldSelector{
			ContainerName: "main", Resource: from, Divisor: resource.MustParse(divisor)}}
	}
	name := field("name", "metadata.name")
	name.Mode = ptr(int32(0o400))
	addVolume(pod, "down", v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: []v1.DownwardAPIVolumeFile{name,
		field("labels", "metadata.labels"), field("note", "metadata.annotations['my/note']"),
		amount("cpu/limit", "limits.cpu", "1m"), amount("mem", "limits.memory", "1Mi"), amount("request", "requests.cpu", "0"), amount("disk", "limits.ephemeral-storage", "1Mi")}}})
	addVolume(pod, "proj", v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{DefaultMode: ptr(int32(0o440)), Sources: []v1.VolumeProjection{
		{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: v1.LocalObjectReference{Name: "cm"},
			Items: []v1.KeyToPath{{Key: "a.txt", Path: "cfg/deep/a", Mode: ptr(int32(0o400))}}}},
		{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: "login"}, Items: []v1.KeyToPath{
			{Key: "user", Path: "user"}, {Key: "pass", Path: "pass"}}}},
		{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}},
		{DownwardAPI: &v1.DownwardAPIProjection{Items: []v1.DownwardAPIVolumeFile{field("ns", "metadata.namespace")}}},
	}}})
	// interLink sends Secrets of volumes only; that of the projection is taken from there.
	addVolume(pod, "sec", v1.VolumeSource{Secret: secret("login")})
	named(t, pod, "main").Env = append(named(t, pod, "main").Env, v1.EnvVar{Name: "DISK", ValueFrom: &v1.EnvVarSource{
		ResourceFieldRef: amount("disk", "limits.ephemeral-storage", "1Mi").ResourceFieldRef}})
	named(t, pod, "main").VolumeMounts = []v1.VolumeMount{mount("down", "/down"), mount("proj", "/proj"), mount("sec", "/sec")}
	request := newCreate(pod)
	request.GiveData(nil, []v1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Name: "proj"}, Data: map[string]string{"cfg/deep/a": "alpha\n", "ns": "default", "token": "token"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "down"}, Data: map[string]string{"labels": "app=\"x\"\ntier=\"1\"\n"}},
	}, []v1.Secret{loginSecret()})
	d.runRequest(t, request).checkLooks(looks)
}
