//go:build e2e

package e2e_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

const maxBody = 64 << 10

// badPods are changes that make a good pod one that must be refused.
var badPods = map[string]func(*v1.Pod){
	"no uid":                      func(p *v1.Pod) { p.UID = "" },
	"uid is not a UUID":           func(p *v1.Pod) { p.UID = "12345" },
	"uid in upper case":           func(p *v1.Pod) { p.UID = "AAAAAAAA-0000-0000-0000-000000000000" },
	"uid climbs":                  func(p *v1.Pod) { p.UID = "../../../../etc/00000000-0000-0000-00" },
	"no namespace":                func(p *v1.Pod) { p.Namespace = "" },
	"namespace climbs":            func(p *v1.Pod) { p.Namespace = "../x" },
	"namespace with a slash":      func(p *v1.Pod) { p.Namespace = "a/b" },
	"no name":                     func(p *v1.Pod) { p.Name = "" },
	"name climbs":                 func(p *v1.Pod) { p.Name = "../../x" },
	"name in upper case":          func(p *v1.Pod) { p.Name = "Pod" },
	"no containers":               func(p *v1.Pod) { p.Spec.Containers = nil },
	"container without a name":    func(p *v1.Pod) { p.Spec.Containers[0].Name = "" },
	"container's name climbs":     func(p *v1.Pod) { p.Spec.Containers[0].Name = "../c" },
	"container's name is long":    func(p *v1.Pod) { p.Spec.Containers[0].Name = strings.Repeat("c", 64) },
	"two containers of one name":  func(p *v1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) },
	"init of a container's name":  func(p *v1.Pod) { p.Spec.InitContainers = p.Spec.Containers },
	"no image":                    func(p *v1.Pod) { p.Spec.Containers[0].Image = "" },
	"unknown restart policy":      func(p *v1.Pod) { p.Spec.RestartPolicy = "Sometimes" },
	"zero byte in an argument":    func(p *v1.Pod) { p.Spec.Containers[0].Args = []string{"a\x00b"} },
	"zero byte in a variable":     func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: "\x00"}} },
	"variable without a name":     func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Value: "x"}} },
	"variable with =":             func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A=B"}} },
	"relative working directory":  func(p *v1.Pod) { p.Spec.Containers[0].WorkingDir = "srv" },
	"memory of one byte":          func(p *v1.Pod) { p.Spec.Containers[0].Resources = limits("", "1") },
	"negative cpu":                func(p *v1.Pod) { p.Spec.Containers[0].Resources = limits("-1", "") },
	"volume's name climbs":        func(p *v1.Pod) { withVolume(p, emptyDir(), "/vol"); rename(p, "../vol") },
	"mount of no volume":          func(p *v1.Pod) { withVolume(p, emptyDir(), "/vol").Spec.Volumes = nil },
	"mount path climbs":           func(p *v1.Pod) { withVolume(p, emptyDir(), "/vol/../../etc") },
	"mount over the root":         func(p *v1.Pod) { withVolume(p, emptyDir(), "/") },
	"sub path climbs":             func(p *v1.Pod) { withVolume(p, emptyDir(), "/vol").Spec.Containers[0].VolumeMounts[0].SubPath = "../x" },
	"host path not allowed":       func(p *v1.Pod) { withVolume(p, hostDir("/etc"), "/vol") },
	"host path climbs":            func(p *v1.Pod) { withVolume(p, hostDir("/tmp/../etc"), "/vol") },
	"config map without its data": func(p *v1.Pod) { withVolume(p, configMap("missing"), "/vol") },
}

func rename(p *v1.Pod, volume string) {
	p.Spec.Volumes[0].Name = volume
	p.Spec.Containers[0].VolumeMounts[0].Name = volume
}

func configMap(name string) v1.VolumeSource {
	return v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: name}}}
}

// TestBadInput: a clear answer each time, no sandbox lost, nothing left behind,
// the daemon alive.
func TestBadInput(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"MaxBodyBytes": maxBody})
	d.waitWarm(t, 1)
	before := d.footprint(t)
	for name, spoil := range badPods {
		pod := newPod(shell("c", "true"))
		spoil(pod)
		d.refused(t, name, "/create", encode(t, newCreate(pod)), http.StatusBadRequest)
	}
	good := newCreate(newPod(shell("c", "true")))
	broken := encode(t, good)
	large := newCreate(newPod(container("c", "true", strings.Repeat("x", maxBody))))
	for _, c := range []struct {
		name, path string
		body       []byte
		want       int
	}{
		{"no body", "/create", nil, 400},
		{"half a body", "/create", broken[:len(broken)/2], 400},
		{"not JSON", "/create", []byte("pod: yaml"), 400},
		{"null", "/create", []byte("null"), 400},
		{"a number", "/create", []byte("1"), 400},
		{"text where an object is due", "/create", []byte(`{"pod":"x"}`), 400},
		{"an empty list", "/create", []byte("[]"), 400},
		{"two pods in a list", "/create", encode(t, []createRequest{good, newCreate(newPod(shell("c", "true")))}), 400},
		{"something behind the object", "/create", append(encode(t, good), "{}"...), 400},
		{"deep nesting", "/create", []byte(strings.Repeat("[", maxBody/2)), 400},
		{"larger than MaxBodyBytes", "/create", encode(t, large), 413},
		{"status larger than MaxBodyBytes", "/status", encode(t, []*v1.Pod{large.Pod}), 413},
		{"delete larger than MaxBodyBytes", "/delete", encode(t, large.Pod), 413},
		{"status that is not a list", "/status", []byte(`{"a":1}`), 400},
		{"status that is not JSON", "/status", []byte(`[`), 400},
		{"delete without a uid", "/delete", []byte("{}"), 400},
		{"delete of a uid that climbs", "/delete", []byte(`{"metadata":{"uid":"../../etc","name":"x","namespace":"y"}}`), 400},
		{"delete that is not JSON", "/delete", []byte("x"), 400},
		{"delete without a body", "/delete", nil, 400},
	} {
		d.refused(t, c.name, c.path, c.body, c.want)
	}
	if diff := cmp.Diff(before, d.footprint(t)); diff != "" {
		t.Errorf("bad input left something behind (-before +after):\n%s", diff)
	}
	p := d.run(t, newPod(shell("c", "echo alive")))
	if got := p.output(); got != "alive\n" {
		t.Errorf("log of a pod after all that = %q", got)
	}
}

// refused sends a body that must not be taken. The answer is a sentence, since
// kubectl describe shows it, and not a page of a decoder's guts.
func (d *daemon) refused(t *testing.T, name, path string, body []byte, want int) {
	t.Helper()
	code, text := d.must(t, http.MethodPost, path, body)
	if code != want {
		t.Errorf("%s: answered with %d %.300q, want %d", name, code, text, want)
	}
	if text = strings.TrimSpace(text); text == "" || len(text) > 2100 || strings.Contains(text, "goroutine ") {
		t.Errorf("%s: the answer says %.300q", name, text)
	}
}

// footprint is all that the daemon has made: containers, networks, files.
func (d *daemon) footprint(t *testing.T) []string {
	t.Helper()
	containers, err := suite.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	networks, err := suite.engine.networks(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range containers {
		out = append(out, "container "+c.name())
	}
	for _, n := range networks {
		out = append(out, "network "+n.Name)
	}
	err = filepath.WalkDir(d.data(), func(path string, _ fs.DirEntry, err error) error {
		out = append(out, "file "+path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestBadInputInStatus: one pod that makes no sense must not hide the others.
func TestBadInputInStatus(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	odd := newPod(shell("c", "true"))
	odd.UID = "../../x"
	code, text := d.must(t, http.MethodGet, "/status", encode(t, []*v1.Pod{odd, p.pod}))
	var answer []podStatus
	if err := json.Unmarshal([]byte(text), &answer); code != http.StatusOK || err != nil {
		t.Fatalf("answered with %d %s: %v", code, text, err)
	}
	for _, s := range answer {
		if s.UID == string(p.pod.UID) {
			return
		}
	}
	t.Errorf("the good pod is missing in %s", text)
}
