//go:build e2e

package e2e_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// bundleFiles reads the files of a bundle.
func bundleFiles(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(header.Name)] = string(text)
	}
}

// TestBundleIsDiscreet: a bundle of a docker-sd that runs has its pods and how they started, and
// nothing that they were given or have written.
func TestBundleIsDiscreet(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"AdminAddress": "off"})
	pod := newPod(shell("c", "echo MARK-log; echo MARK-message >/dev/termination-log; exit 3 # MARK-command"), shell("fine", untilStopped))
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	pod.Annotations = map[string]string{"note": "MARK-annotation"}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Env = []v1.EnvVar{{Name: "PASSWORD", Value: "MARK-env"}}
	}
	withVolume(pod, v1.VolumeSource{Secret: secret("login")}, "/login")
	request := newCreate(pod)
	request.GiveData(nil, nil, []v1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "login", Namespace: pod.Namespace}, Data: map[string][]byte{"user": []byte("MARK-secret")}}})
	p := d.runRequest(t, request)
	broken := newPod(container("b", "/MARK-argv0", "MARK-argument"))
	q := d.run(t, broken)
	// The controls: all that is known to docker-sd, and told to those who may know it.
	p.waitFor("the message of its end", func(s podStatus) bool { return strings.Contains(string(encode(t, s)), "MARK-message") })
	q.waitFor("why it cannot be made", func(s podStatus) bool { return strings.Contains(string(encode(t, s)), "MARK-argv0") })
	record, err := os.ReadFile(filepath.Join(d.data(), "records", string(pod.UID)+".json"))
	for _, mark := range []string{"MARK-env", "MARK-command", "MARK-annotation"} {
		if err != nil || !strings.Contains(string(record), mark) {
			t.Fatalf("the record has no %s: %v", mark, err)
		}
	}
	path := filepath.Join(d.dir, "bundle.tar.gz")
	out, errs, code := d.command(t, "check", "--no-boot", "--bundle", path)
	if code != 0 || !strings.Contains(errs, path+" is written") {
		t.Fatalf("check ends with %d: %s%s", code, out, errs)
	}
	files := bundleFiles(t, path)
	for name, want := range map[string]string{"pods.json": `"name": "` + pod.Name + `"`, "metrics.txt": "docker_sd_", "events.json": string(pod.UID),
		"info.json": `"instance": "` + d.instance + `"`, "pool.json": `"claimed"`, "gpus.json": "{", "usage.json": "{", "versions.json": `"Version": "`, "check.txt": "runs as instance"} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s has no %s: %.2000s", name, want, files[name])
		}
	}
	var timelines map[string][]admin.Moment
	if err := json.Unmarshal([]byte(files["timelines.json"]), &timelines); err != nil || len(timelines[string(pod.UID)]) < 5 {
		t.Errorf("the timelines are %s, %v", files["timelines.json"], err)
	}
	for name, text := range files {
		if at := strings.Index(text, "MARK-"); at >= 0 {
			t.Errorf("%s has %.30s", name, text[at:])
		}
	}
	p.delete(0)
	q.delete(0)
}
