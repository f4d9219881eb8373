//go:build e2e

package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ephemeralOf is a volume of a claim that lives with its pod.
func ephemeralOf(size string) v1.VolumeSource {
	return v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{VolumeClaimTemplate: &v1.PersistentVolumeClaimTemplate{
		Spec: v1.PersistentVolumeClaimSpec{AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}, StorageClassName: ptr("fast"),
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}}}}}}
}

// storageEphemeral: all containers of the pod share it, with the modes of an emptyDir, and
// nothing of it is left after the pod.
func storageEphemeral(t *testing.T, d *daemon) {
	pod := withInits(newPod(shell("c", "cat /vol/mark-of-ephemeral; stat -c '%a %g' /vol; touch /vol/mine && stat -c %u /vol/mine; "+untilStopped)),
		shell("init", "echo from init >/vol/mark-of-ephemeral"))
	addVolume(pod, "scratch", ephemeralOf("16Mi"))
	pod.Spec.InitContainers[0].VolumeMounts = []v1.VolumeMount{mount("scratch", "/vol")}
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{mount("scratch", "/vol")}
	pod.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: ptr(int64(3000))}
	pod.Spec.Containers[0].SecurityContext = &v1.SecurityContext{RunAsUser: ptr(int64(1234))}
	p := d.run(t, pod)
	p.waitLog("c", "from init\n2777 3000\n1234\n")
	pattern := filepath.Join(d.data(), "sandboxes", "*", "pod", "ephemeral", "scratch", "mark-of-ephemeral")
	if found, err := filepath.Glob(pattern); err != nil || len(found) != 1 {
		t.Errorf("the file is at %v, %v", found, err)
	}
	p.delete(0)
	p.waitGone()
	if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 {
		t.Errorf("after the delete there is %v, %v", found, err)
	}
}

// storageEphemeralEviction: what the claim asks for is the volume's limit. It does not count
// for the containers' ephemeral storage: the control beside it runs on.
func storageEphemeralEviction(t *testing.T, d *daemon) {
	c := shell("c", "dd if=/dev/zero of=/vol/large bs=1M count=4 2>/dev/null && echo written; "+untilStopped)
	c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse("2Mi")}
	control := d.run(t, withVolume(newPod(c), ephemeralOf("16Mi"), "/vol"))
	control.waitLog("c", "written\n")
	// It is measured as often as the other one, and from an earlier moment on.
	full := d.run(t, withVolume(newPod(shell("c", "dd if=/dev/zero of=/vol/large bs=1M count=4; "+untilStopped)), ephemeralOf("1Mi"), "/vol"))
	full.waitMessage("c", "Evicted", `ephemeral volume "vol"`, `"1Mi"`)
	if state := control.status().Container("c").State; state.Running == nil {
		t.Errorf("the control: %+v", state)
	}
	for name, source := range map[string]v1.VolumeSource{
		"needs a volumeClaimTemplate":      {Ephemeral: &v1.EphemeralVolumeSource{}},
		"needs resources.requests.storage": {Ephemeral: &v1.EphemeralVolumeSource{VolumeClaimTemplate: &v1.PersistentVolumeClaimTemplate{}}},
	} {
		if text := d.refusedCreate(t, withVolume(newPod(shell("c", "true")), source, "/vol")); !strings.Contains(text, name) {
			t.Errorf("refusal = %q, it lacks %q", text, name)
		}
	}
}
