//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestMountPropagation has a daemon whose privileged pods may mount, and a host path that
// shares its events with the host.
func TestMountPropagation(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "PrivilegedPodsMayMount": true})
	claim := filepath.Join(d.dir, "claim")
	if err := os.Mkdir(claim, 0o777); err != nil {
		t.Fatal(err)
	}
	shareMounts(t, claim)
	d.settings["PersistentVolumeClaims"] = map[string]string{"claim": claim}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	shareMounts(t, d.hostPath())
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	dir := d.hostFolder(t, "both")
	spy := d.run(t, spyPod(dir))
	spy.waitLog("c", "up\n")

	pod := propagationPod(dir)
	p := d.run(t, pod)
	p.waitPhase(v1.PodSucceeded)
	for name, want := range map[string]string{
		// What is mounted is seen where it is asked for, also through the pin of a subPath.
		"sees":   "/claim made\n/deep made\n/disk made\n/host made\n/mem made\n/sub made\n",
		"shared": "/claim made\n/deep made\n/disk made\n/host made\n/mem made\n/sub made\n",
		"none":   "/claim\n/deep\n/disk\n/host\n/mem\n/sub\n",
	} {
		if got := p.logs(name, logOptions{}); got != want {
			t.Errorf("container %s sees %q, want %q", name, got, want)
		}
	}
	// The attack: the mounts were made by a privileged container with SYS_ADMIN, and are
	// neither on the host nor in another sandbox.
	for _, folder := range []string{dir, claim} {
		if left, err := os.ReadDir(filepath.Join(folder, "point")); err != nil || len(left) > 0 {
			t.Errorf("on the host %s/point has %v (%v), want an empty folder", folder, left, err)
		}
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(table), "/point ") {
		t.Errorf("the host has a mount of the pod:\n%s", table)
	}
	touch(t, filepath.Join(dir, "stop"))
	spy.waitPhase(v1.PodSucceeded)
	if got, want := spy.logs("c", logOptions{}), "up\n/claim\n/host\n"; got != want {
		t.Errorf("another pod sees %q, want %q", got, want)
	}
}

// showPoints prints what is mounted at the point of each volume.
func showPoints(volumes string) string {
	return "for v in " + volumes + "; do echo $v $(ls $v/point); done"
}

// spyPod has the same volumes of the host, and shows what is mounted there at its end.
func spyPod(dir string) *v1.Pod {
	pod := newPod(shell("c", "echo up; until test -e /host/stop; do usleep 20000; done; "+showPoints("/claim /host")))
	addVolume(pod, "host", hostDir(dir))
	addVolume(pod, "claim", claimOf("claim", false))
	propagated := ptr(v1.MountPropagationHostToContainer)
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{
		{Name: "host", MountPath: "/host", MountPropagation: propagated}, {Name: "claim", MountPath: "/claim", MountPropagation: propagated}}
	return pod
}

// propagationPod has a container that mounts below volumes of each kind, and three that
// look, once they all run.
func propagationPod(dir string) *v1.Pod {
	const all = "/claim /deep /disk /host /mem /sub"
	look := "touch /disk/up-$NAME; until test -e /disk/go; do usleep 20000; done; " + showPoints(all) + "; touch /disk/done-$NAME"
	pod := newPod(
		shell("mounter", "for name in sees shared none; do until test -e /disk/up-$name; do usleep 20000; done; done; "+
			"for v in "+all+"; do mkdir -p $v/point && mount -t tmpfs none $v/point && touch $v/point/made || exit 1; done; touch /disk/go; "+
			"for name in sees shared none; do until test -e /disk/done-$name; do usleep 20000; done; done"),
		shell("sees", look), shell("shared", look), shell("none", look))
	addVolume(pod, "disk", emptyDir())
	addVolume(pod, "mem", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}})
	addVolume(pod, "host", hostDir(dir))
	addVolume(pod, "claim", claimOf("claim", false))
	for i, how := range []v1.MountPropagationMode{v1.MountPropagationBidirectional, v1.MountPropagationHostToContainer,
		v1.MountPropagationBidirectional, v1.MountPropagationNone} {
		c := &pod.Spec.Containers[i]
		c.Env = []v1.EnvVar{{Name: "NAME", Value: c.Name}}
		for _, m := range []v1.VolumeMount{mount("disk", "/disk"), mount("mem", "/mem"), mount("host", "/host"), mount("claim", "/claim"),
			{Name: "disk", MountPath: "/deep", SubPath: "a/deep"}, {Name: "mem", MountPath: "/sub", SubPath: "sub"}} {
			m.MountPropagation = &how
			c.VolumeMounts = append(c.VolumeMounts, m)
		}
		if how == v1.MountPropagationBidirectional {
			c.SecurityContext = &v1.SecurityContext{Privileged: ptr(true)}
		}
	}
	return pod
}
