//go:build e2e

package e2e_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func kubeEmptyDirEviction(t *testing.T, d kubeDaemon) {
	limit := resource.MustParse("1Mi")
	source := v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &limit}}
	p := d.run(t, withVolume(newPod(shell("c", "dd if=/dev/zero of=/vol/large bs=1M count=4; "+untilStopped)), source, "/vol"))
	p.waitMessage("c", "Evicted", `"vol"`, `"1Mi"`)
}

func kubeEphemeralEviction(t *testing.T, d kubeDaemon) {
	c := shell("c", "dd if=/dev/zero of=/large bs=1M count=4; "+untilStopped)
	c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse("1Mi")}
	d.run(t, newPod(c)).waitMessage("c", "Evicted", "ephemeral storage", `"1Mi"`)
}

// kubePodEphemeralEviction: an emptyDir counts for the sum of the containers' limits, and
// so does a log for its container.
func kubePodEphemeralEviction(t *testing.T, d kubeDaemon) {
	limited := func(script string) v1.Container {
		c := shell("c", script+"; "+untilStopped)
		c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse("1Mi")}
		return c
	}
	volume := d.run(t, withVolume(newPod(limited("dd if=/dev/zero of=/vol/large bs=1M count=4")), emptyDir(), "/vol"))
	log := d.run(t, newPod(limited("yes | head -c 3000000")))
	volume.waitMessage("c", "Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi")
	log.waitMessage("c", "Evicted", "Container c exceeded its local ephemeral storage limit", `"1Mi"`)
}

// kubeSecretsOnHost: while the pod runs nobody but root gets at a file with a
// secret, and nothing is left of it after the delete.
func kubeSecretsOnHost(t *testing.T, d kubeDaemon) {
	value := loginSecret()
	const marker = "marker-of-a-secret-71f3"
	value.Data["pass"] = []byte(marker)
	pod := newPod(shell("c", untilStopped))
	pod.Spec.Containers[0].Env = []v1.EnvVar{{Name: "PASS", Value: marker}}
	pod = withVolume(pod, v1.VolumeSource{Secret: secret("login")}, "/vol")
	request := newCreate(pod)
	request.GiveData(nil, nil, []v1.Secret{value})
	p := d.runRequest(t, request)
	p.waitRunning()
	found := filesWith(t, d.data(), marker)
	if len(found) < 2 {
		t.Errorf("files with the secret = %v, want its volume's and the record", found)
	}
	for _, path := range found {
		if openToOthers(t, d.data(), path) {
			t.Errorf("anybody on the host can read %s", path)
		}
	}
	p.delete(0)
	p.waitGone()
	if left := filesWith(t, d.data(), marker); len(left) > 0 {
		t.Errorf("the secret is still in %v", left)
	}
	if strings.Contains(d.log.String(), marker) {
		t.Error("the secret is in the daemon's log")
	}
}

// filesWith lists the regular files below a folder that contain a text.
func filesWith(t *testing.T, dir, text string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // other pods come and go meanwhile
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(text)) {
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// openToOthers says whether modes allow a stranger to read a file below top;
// the folders above top are not looked at.
func openToOthers(t *testing.T, top, path string) bool {
	t.Helper()
	need := fs.FileMode(0o004)
	for ; path != filepath.Dir(top); path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&need == 0 {
			return false
		}
		need = 0o001
	}
	return true
}
