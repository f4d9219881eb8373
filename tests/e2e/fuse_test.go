//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestFuse runs real programs that serve FUSE file systems, with the default settings.
func TestFuse(t *testing.T) {
	t.Parallel()
	image := theFuseImage(t)
	d := ownDaemon(t, 1, nil)
	for name, test := range map[string]func(*testing.T, *daemon, string){
		"rclone":               fuseRclone,
		"sshfs without rights": fuseSSHFS,
		"unmounts by itself":   fuseAutoUnmount,
		"only below emptyDirs": fuseOnlyThere,
		"stopped":              fuseStopped,
		"uses itself":          fuseUsesItself,
		"is measured":          fuseMeasured,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, d, image) })
	}
}

// fuseContainer runs a script in the image with the programs.
func fuseContainer(name, image, script string) v1.Container {
	c := container(name, "bash", "-c", script)
	c.Image = image
	return c
}

// waitMounted is a script that waits until a FUSE file system is mounted.
func waitMounted(kind, at string) string {
	return fmt.Sprintf("until grep -q ' %s %s ' /proc/mounts; do sleep 0.1; done; ", at, kind)
}

// fuseRclone is the pod of interLink's own suite: one container mounts the files of
// another one by SFTP below a shared emptyDir, and a third one writes there.
func fuseRclone(t *testing.T, d *daemon, image string) {
	keygen := fuseContainer("key-gen", image, `mkdir -p /root/.ssh && ssh-keygen -f /root/.ssh/id_rsa -t rsa -q -N ""`)
	server := fuseContainer("server", image, "useradd -m sftp; mkdir /home/sftp/.ssh; cat /root/.ssh/id_rsa.pub >/home/sftp/.ssh/authorized_keys; "+
		"chown sftp /home/sftp/.ssh/authorized_keys; service ssh start; touch /root/serves; "+
		"until test -e /home/sftp/touchedfile; do sleep 0.1; done; ls /home/sftp/; touch /root/done")
	client := fuseContainer("client", image, "until test -e /root/serves; do sleep 0.1; done; mkdir -p /root/.config/rclone /shared/rclone; "+
		"cat /root/config/rclone/rclone.conf >/root/.config/rclone/rclone.conf; "+
		"rclone mount -vv remote:/home/sftp/ /shared/rclone & until test -e /root/done; do sleep 0.1; done; "+
		"grep ' /shared/rclone ' /proc/mounts | cut -d' ' -f1-4; kill $!; wait $!; echo ended $?; grep -c ' /shared/rclone ' /proc/mounts")
	worker := fuseContainer("worker", image, waitMounted("fuse.rclone", "/shared/rclone")+"touch /shared/rclone/touchedfile && echo written")
	pod := newPod(server, client, worker)
	pod.Spec.InitContainers = []v1.Container{keygen}
	addVolume(pod, "home", sized("500Mi"))
	addVolume(pod, "shared", sized("500Mi"))
	addVolume(pod, "rclone-config", v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "rclone"},
		Items: []v1.KeyToPath{{Key: "rclone.conf", Path: "rclone.conf"}}}})
	both := ptr(v1.MountPropagationBidirectional)
	for name, mounts := range map[string][]v1.VolumeMount{
		"key-gen": {mount("home", "/root")},
		"server":  {mount("home", "/root")},
		"client":  {mount("home", "/root"), mount("rclone-config", "/root/config/rclone"), {Name: "shared", MountPath: "/shared", MountPropagation: both}},
		"worker":  {{Name: "shared", MountPath: "/shared", MountPropagation: both}},
	} {
		named(t, pod, name).VolumeMounts = mounts
	}
	for _, name := range []string{"client", "worker"} {
		named(t, pod, name).SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	}
	request := newCreate(pod)
	config := v1.ConfigMap{Data: map[string]string{"rclone.conf": "[remote]\ntype = sftp\nhost = localhost\nuser = sftp\nkey_file = /root/.ssh/id_rsa\n" +
		"disable_hashcheck = true\nset_modtime = false\n"}}
	config.Name, config.Namespace = "rclone", "default"
	request.GiveData([]v1.ConfigMap{config}, nil, nil)
	p := d.runRequest(t, request)
	p.waitLog("worker", "written\n")
	if table := hostMounts(t); strings.Contains(table, "fuse.rclone") {
		t.Errorf("the host sees what the pod mounted:\n%s", table)
	}
	p.waitFor("the server sees the file", func(s podStatus) bool { return s.Container("server").State.Terminated != nil })
	if got := p.logs("server", logOptions{}); !strings.HasSuffix(got, "touchedfile\n") {
		t.Errorf("the server lists %q, want the file that the worker wrote", got)
	}
	p.waitFor("the client unmounts", func(s podStatus) bool { return s.Container("client").State.Terminated != nil })
	got := p.logs("client", logOptions{})
	if !strings.Contains(got, "remote:/home/sftp/ /shared/rclone fuse.rclone rw,nosuid,nodev,") || !strings.HasSuffix(got, "\nended 143\n0\n") {
		t.Errorf("the client shows %q, want a mount without set-user-id programs and devices that is unmounted at its end", got[max(0, len(got)-400):])
	}
}

func sized(limit string) v1.VolumeSource {
	size := resource.MustParse(limit)
	return v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &size}}
}

func hostMounts(t *testing.T) string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(table)
}

// serveFolder is a script that mounts /data at a place with sshfs, without a network.
func serveFolder(at, options string) string {
	return fmt.Sprintf("mkfifo /tmp/in /tmp/out; /usr/lib/openssh/sftp-server </tmp/in >/tmp/out & sshfs -f -o passive%s x:/data %s >/tmp/in </tmp/out & ", options, at) +
		waitMounted("fuse.sshfs", at)
}

// fuseSSHFS: a container of another user, without any capability or a way to get one,
// mounts for itself, with a library that opens /dev/fuse itself.
func fuseSSHFS(t *testing.T, d *daemon, image string) {
	pod := newPod(fuseContainer("c", image, "echo content >/data/f; mkdir /vol/mnt; "+serveFolder("/vol/mnt", "")+
		"cat /vol/mnt/f; echo more >>/vol/mnt/f; cat /data/f; fusermount3 -u /vol/mnt; wait $!; echo ended $?; ls /vol/mnt; "+
		"head -c1 /dev/fuse | wc -c"))
	withVolume(pod, emptyDir(), "/vol")
	addVolume(pod, "data", emptyDir())
	addVolume(pod, "tmp", emptyDir())
	addVolume(pod, "fuse", v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/dev/fuse", Type: ptr(v1.HostPathCharDev)}})
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, mount("data", "/data"), mount("fuse", "/dev/fuse"), mount("tmp", "/tmp"))
	c.SecurityContext = &v1.SecurityContext{RunAsUser: ptr(int64(1000)), RunAsGroup: ptr(int64(1000)), AllowPrivilegeEscalation: ptr(false),
		Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}}, ReadOnlyRootFilesystem: ptr(true)}
	if got, want := d.run(t, pod).output(), "content\ncontent\nmore\nended 0\n0\n"; got != want {
		t.Errorf("log = %q, want %q", got, want)
	}
}

// fuseAutoUnmount: a file system whose program was killed is unmounted where it asked for
// that.
func fuseAutoUnmount(t *testing.T, d *daemon, image string) {
	pod := withVolume(newPod(fuseContainer("c", image, "mkdir /data /vol/mnt; "+serveFolder("/vol/mnt", ",auto_unmount")+
		"kill -9 %2; until ! grep -q /vol/mnt /proc/mounts; do sleep 0.1; done; ls /vol/mnt && echo unmounted")), emptyDir(), "/vol")
	pod.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	p := d.run(t, pod)
	p.waitPhase(v1.PodSucceeded)
	if got := p.logs("c", logOptions{}); !strings.HasSuffix(got, "unmounted\n") {
		t.Errorf("log = %q", got)
	}
}

// fuseOnlyThere attacks: a privileged container mounts neither by itself nor, with the
// command, anywhere but over an emptyDir that it may write to. The control is the same
// attempt there.
func fuseOnlyThere(t *testing.T, d *daemon, image string) {
	const loud = "3>/dev/null _FUSE_COMMFD=3 fusermount3 -o rw%s -- %s 2>&1 | grep -o '%s' || echo mounted"
	try := func(at, options, words string) sight {
		return sight{"{ " + fmt.Sprintf(loud, options, at, words) + "; }", words}
	}
	bad := func(option string) sight { return try("/vol", ","+option, option+" is not possible here") }
	const elsewhere = "on no emptyDir of the pod"
	looks := map[string][]sight{"c": {
		// Without a socket the command fails after the mount, and takes it back.
		{"_FUSE_COMMFD=0 fusermount3 -o rw -- /vol </dev/null 2>&1 | grep -o 'hand over /dev/fuse'; grep -c ' fuse' /proc/mounts", "hand over /dev/fuse\n0"},
		try("/", "", elsewhere), try("/mnt", "", elsewhere), try("/etc", "", elsewhere), try("/dev", "", elsewhere), try("/dev/shm", "", elsewhere),
		try("/proc", "", elsewhere), try("/proc/self/cwd", "", elsewhere), try("/sys", "", elsewhere), try("/config", "", elsewhere), try("/host", "", elsewhere),
		try("/ro", "", "mounted read-only in this container"), bad("suid"), bad("dev"), bad("fd=0"), bad("subtype=a/b"),
		try("/vol", ",max_read=1", "max_read must be 8192"),
		{"fusermount3 -u /proc 2>&1 | grep -o 'no FUSE file system of this pod'", "no FUSE file system of this pod"},
		{"fusermount3 -u /vol 2>&1 | grep -o 'no FUSE file system of this pod'", "no FUSE file system of this pod"},
		{"fusermount3 -uz /dev/shm 2>&1 | grep -o 'no FUSE file system of this pod'", "no FUSE file system of this pod"},
		{"mount -t tmpfs none /vol 2>&1 | grep -o 'ermission denied'", "ermission denied"},
		{"exec 4<>/dev/fuse; mount -t fuse -o fd=4,rootmode=40000,user_id=0,group_id=0 none /vol 2>&1 | grep -o 'ermission denied'", "ermission denied"},
		// In a namespace of its own it may mount, and /dev/fuse does not serve there.
		{"unshare -Urm sh -c 'mount -t tmpfs none /mnt && echo control; exec 4<>/dev/fuse; mount -t fuse -o fd=4,rootmode=40000,user_id=0,group_id=0 none /vol && echo mounted' 2>/dev/null", "control"},
		{"mknod /f c 10 229; head -c 1 /f 2>&1 | grep -o 'not permitted'", "not permitted"},
	}}
	pod := withVolume(lookPod(looks), emptyDir(), "/vol")
	addVolume(pod, "cm", configMap("cm"))
	addVolume(pod, "host", hostDir(d.hostFolder(t, "fuse")))
	c := &pod.Spec.Containers[0]
	c.Image = image
	c.VolumeMounts = append(c.VolumeMounts, mount("cm", "/config"), mount("host", "/host"), v1.VolumeMount{Name: "vol", MountPath: "/ro", ReadOnly: true})
	c.SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
	c.Command[2] = "mkdir -p /mnt; " + c.Command[2]
	request := newCreate(pod)
	request.GiveData([]v1.ConfigMap{bytesMap()}, nil, nil)
	d.runRequest(t, request).checkLooks(looks)
}

// fuseStopped: the program of a file system that is in use is stopped, and nothing that
// waits for it keeps its pod.
func fuseStopped(t *testing.T, d *daemon, image string) {
	p := d.run(t, hungPod(image, emptyDir(), "mkdir /data; echo x >/data/f; "+serveFolder("/vol/mnt", "")+"ls /vol/mnt; kill -STOP %2 %1; touch /vol/hangs; "+untilStopped))
	p.waitLog("reader", "waits\n")
	p.delete(1)
	p.waitGone()
}

// fuseUsesItself: a program that waits for its own file system cannot be killed before
// that is ended.
func fuseUsesItself(t *testing.T, d *daemon, image string) {
	p := d.run(t, hungPod(image, emptyDir(), "mkdir /vol/mnt/a; rclone mount :local:/vol /vol/mnt & "+waitMounted("fuse.rclone", "/vol/mnt")+"touch /vol/hangs; "+untilStopped))
	p.waitLog("reader", "waits\n")
	p.delete(1)
	p.waitGone()
}

// hungPod has a container that mounts at /vol/mnt, and one that reads there once /vol/hangs
// is there.
func hungPod(image string, volume v1.VolumeSource, script string) *v1.Pod {
	pod := withVolume(newPod(fuseContainer("server", image, "mkdir /vol/mnt; "+script),
		fuseContainer("reader", image, waitMounted("fuse[.a-z]*", "/vol/mnt")+"until test -e /vol/hangs; do sleep 0.1; done; cat /vol/mnt/mnt/f /vol/mnt/f & echo waits; wait")), volume, "/vol")
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
		pod.Spec.Containers[i].VolumeMounts[0].MountPropagation = ptr(v1.MountPropagationBidirectional)
	}
	return pod
}

// fuseMeasured: a volume is measured, and its pod evicted, although a file system that
// does not answer is mounted in it.
func fuseMeasured(t *testing.T, d *daemon, image string) {
	p := d.run(t, hungPod(image, sized("1Mi"), "mkdir /data; echo x >/data/f; "+serveFolder("/vol/mnt", ",attr_timeout=0")+
		"ls /vol/mnt; kill -STOP %2 %1; touch /vol/hangs; dd if=/dev/zero of=/vol/large bs=1M count=3; "+untilStopped))
	p.waitLog("reader", "waits\n")
	p.waitMessage("server", "Evicted", `"vol"`, `"1Mi"`)
}
