//go:build e2e

package e2e_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fileOf reads a file of the host, "" if it is not there.
func fileOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// storageClaims: a claim without a volume has a folder, which is another pod's of the same
// namespace too, and stays when the pods are gone.
func storageClaims(t *testing.T, d *daemon) {
	looks := map[string][]sight{"c": {
		{"stat -c %a /claim; ls -A /claim", "777\nsub"},
		{"echo kept >/claim/f; cat /part/../part/g 2>/dev/null; echo part >/part/g; cat /claim/sub/g", "part"},
		{"touch /ro/x || echo refused", "touch: /ro/x: Read-only file system\nrefused"},
	}}
	pod := lookPod(looks)
	addVolume(pod, "claim", claimOf("storage-one", false))
	addVolume(pod, "ro", claimOf("storage-one", true))
	named(t, pod, "c").VolumeMounts = []v1.VolumeMount{mount("claim", "/claim"), mount("ro", "/ro"), {Name: "claim", MountPath: "/part", SubPath: "sub"}}
	p := d.run(t, pod)
	p.checkLooks(looks)
	p.delete(0)
	p.waitGone()
	if got := fileOf(t, filepath.Join(d.claims(), "default/storage-one/f")); got != "kept\n" {
		t.Errorf("the claim's file on the host = %q", got)
	}
	again := d.run(t, withVolume(newPod(shell("c", "cat /vol/f")), claimOf("storage-one", false), "/vol"))
	if got := again.output(); got != "kept\n" {
		t.Errorf("what the next pod sees = %q", got)
	}
	// The same name in another namespace is another claim.
	elsewhere := withVolume(newPod(shell("c", "ls -A /vol; echo looked")), claimOf("storage-one", false), "/vol")
	elsewhere.Namespace = "elsewhere"
	if got := d.run(t, elsewhere).output(); got != "looked\n" {
		t.Errorf("what a pod of another namespace sees = %q", got)
	}
}

func storageClaimGroup(t *testing.T, d *daemon) {
	pod := withVolume(newPod(shell("c", "stat -c '%a %g' /vol; touch /vol/f && stat -c '%u %g' /vol/f")), claimOf("storage-group", false), "/vol")
	pod.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: ptr(int64(3000)), RunAsUser: ptr(int64(1000)), RunAsGroup: ptr(int64(1000))}
	if got := d.run(t, pod).output(); got != "2777 3000\n1000 3000\n" {
		t.Errorf("log = %q", got)
	}
}

// bind sends a claim with the volume that it is bound to, as interLink's branch does.
func bind(r *createRequest, claim string, source v1.PersistentVolumeSource, edit func(*v1.PersistentVolume)) {
	bound := v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + claim}, Spec: v1.PersistentVolumeSpec{
		PersistentVolumeSource: source, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteMany},
		ClaimRef: &v1.ObjectReference{Namespace: r.Pod.Namespace, Name: claim}}}
	if edit != nil {
		edit(&bound)
	}
	sent := v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: claim, Namespace: r.Pod.Namespace},
		Spec: v1.PersistentVolumeClaimSpec{VolumeName: bound.Name, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}}}
	for i := range r.Container {
		r.Container[i].Claims, r.Container[i].Volumes = append(r.Container[i].Claims, sent), append(r.Container[i].Volumes, bound)
	}
}

// storageBound: a claim stands for the volume that it is bound to.
func storageBound(t *testing.T, d *daemon) {
	dir := d.hostFolder(t, "bound")
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("of the volume\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	looks := map[string][]sight{"c": {
		{"cat /host/f /local/f /rox/f", "of the volume\nof the volume\nof the volume"},
		{"echo from the pod >/local/g; cat /host/g", "from the pod"},
		{"touch /rox/x || echo refused", "touch: /rox/x: Read-only file system\nrefused"},
	}}
	pod := lookPod(looks)
	for _, name := range []string{"host", "local", "rox"} {
		addVolume(pod, name, claimOf(name, false))
		c := named(t, pod, "c")
		c.VolumeMounts = append(c.VolumeMounts, mount(name, "/"+name))
	}
	request := newCreate(pod)
	host := v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: dir}}
	bind(&request, "host", host, nil)
	bind(&request, "local", v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: dir}}, nil)
	bind(&request, "rox", host, func(v *v1.PersistentVolume) { v.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadOnlyMany} })
	p := d.runRequest(t, request)
	p.checkLooks(looks)
	p.delete(0)
	p.waitGone()
	if got := fileOf(t, filepath.Join(dir, "g")); got != "from the pod\n" {
		t.Errorf("the volume's file after the delete = %q", got)
	}
	if _, err := os.Lstat(filepath.Join(d.claims(), "default/host")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a claim with a volume has a folder of its own: %v", err)
	}
}

// storageBoundRefused: the operator's list of host paths holds for volumes of claims, and what
// cannot be had is named.
func storageBoundRefused(t *testing.T, d *daemon) {
	for name, c := range map[string]struct {
		source v1.PersistentVolumeSource
		words  []string
	}{
		"hostPath": {v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/etc"}}, []string{"pv-c", "path /etc is not below a host path"}},
		"local":    {v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: d.hostPath() + "/../../etc"}}, []string{"pv-c", "without .."}},
		"CSI":      {v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: "x.example.org", VolumeHandle: "h"}}, []string{"pv-c", "kind csi"}},
	} {
		request := newCreate(withVolume(newPod(shell("c", "true")), claimOf("c", false), "/vol"))
		bind(&request, "c", c.source, nil)
		code, text := d.must(t, http.MethodPost, "/create", encode(t, request))
		for _, word := range c.words {
			if code != http.StatusBadRequest || !strings.Contains(text, word) {
				t.Errorf("%s was answered with %d: %s; want %q", name, code, text, word)
			}
		}
	}
}

// storageClaimEscape: no claim leads out of its folder. A folder that is one is taken: the
// control.
func storageClaimEscape(t *testing.T, d *daemon) {
	outside := filepath.Join(d.dir, "outside")
	if err := os.MkdirAll(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"..", "../default/storage-one", "a/b", "/etc"} {
		text := d.refusedCreate(t, withVolume(newPod(shell("c", "true")), claimOf(name, false), "/vol"))
		if !strings.Contains(text, "is not a DNS name") {
			t.Errorf("claim %s: %s", name, text)
		}
	}
	space := filepath.Join(d.claims(), "default")
	if err := os.MkdirAll(filepath.Join(space, "plain"), 0o777); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"linked": outside, "neighbour": "plain"} {
		if err := os.Symlink(target, filepath.Join(space, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		claim string
		fails bool
	}{{"linked", true}, {"neighbour", true}, {"plain", false}} {
		p := d.run(t, withVolume(newPod(shell("c", "touch /vol/mark")), claimOf(c.claim, false), "/vol"))
		if !c.fails {
			p.waitPhase(v1.PodSucceeded)
			continue
		}
		p.waitsToBeMade("is not a folder")
	}
	if got, err := os.ReadDir(outside); err != nil || len(got) > 0 {
		t.Errorf("outside are %v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(space, "plain/mark")); err != nil {
		t.Errorf("the control: %v", err)
	}
	// A link that a pod makes in its claim leads nowhere for another pod's subPath.
	d.run(t, withVolume(newPod(shell("c", "ln -s "+d.claims()+"/default/storage-one /vol/way")), claimOf("storage-link", false), "/vol")).waitPhase(v1.PodSucceeded)
	pod := newPod(shell("c", "true"))
	addVolume(pod, "vol", claimOf("storage-link", false))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "vol", MountPath: "/vol", SubPath: "way"}}
	d.run(t, pod).waits("CreateContainerConfigError", "leads outside")
}

// storageClaimsTakenOver: over a restart of docker-sd a pod keeps its claim.
func storageClaimsTakenOver(t *testing.T, d *daemon) {
	dir := d.hostFolder(t, "claims-over")
	pod := newPod(shell("c", "echo run >>/vol/runs; until test -e /shared/stop; do usleep 50000; done; exit 3"))
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	addVolume(pod, "claim", claimOf("storage-over", false))
	addVolume(pod, "shared", hostDir(dir))
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{mount("claim", "/vol"), mount("shared", "/shared")}
	p := d.run(t, pod)
	p.waitRunning()
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	touch(t, filepath.Join(dir, "stop"))
	p.waitFor("a restart", func(s podStatus) bool { return s.Container("c").RestartCount > 0 })
	runs := filepath.Join(d.claims(), "default/storage-over/runs")
	eventually(t, runLimit, "both runs wrote to the claim", func() bool { return strings.Count(fileOf(t, runs), "run") >= 2 }, nil)
	p.delete(0)
	p.waitGone()
	if got := fileOf(t, runs); !strings.HasPrefix(got, "run\nrun\n") {
		t.Errorf("after the delete the claim has %q", got)
	}
}

// TestClaimsThatAreDeleted: with PersistentVolumeReclaim delete, a folder goes with the last
// pod that mounts it, also where docker-sd was restarted in between.
func TestClaimsThatAreDeleted(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "PersistentVolumeReclaim": "delete"})
	d.settings["PersistentVolumeRoot"] = d.claims()
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(d.claims(), "default/shared")
	one := d.run(t, withVolume(newPod(shell("c", "echo one >/vol/f; "+untilStopped)), claimOf("shared", false), "/vol"))
	two := d.run(t, withVolume(newPod(shell("c", untilStopped)), claimOf("shared", false), "/vol"))
	one.waitRunning()
	two.waitRunning()
	eventually(t, runLimit, "the first pod has written", func() bool { return fileOf(t, filepath.Join(folder, "f")) == "one\n" }, nil)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	one.delete(0)
	one.waitGone()
	if got := fileOf(t, filepath.Join(folder, "f")); got != "one\n" {
		t.Errorf("the claim that another pod mounts has %q", got)
	}
	two.delete(0)
	two.waitGone()
	if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder after the last pod: %v", err)
	}
	again := d.run(t, withVolume(newPod(shell("c", "ls -A /vol; echo looked")), claimOf("shared", false), "/vol"))
	if got := again.output(); got != "looked\n" {
		t.Errorf("the next pod sees %q", got)
	}
}
