//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// side is one of the two ways to docker-sd.
type side struct {
	create  func(pod *v1.Pod, data [2][]v1.ConfigMap, secrets []v1.Secret) any
	ping    [3]string // method, path and body
	remove  string    // the method of a delete
	send    func(ctx context.Context, method, path string, body []byte) (*http.Response, error)
	records []string
}

// say notes an answer without what differs from pod to pod.
func (s *side) say(t *testing.T, pod *v1.Pod, what, method, path string, body []byte) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kit.CallTimeout)
	defer cancel()
	response, err := s.send(ctx, method, path, body)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	s.note(pod, what, response.StatusCode, string(text))
	return response.StatusCode, string(text)
}

var (
	anyTime      = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	anyContainer = regexp.MustCompile(`docker://[0-9a-f]{64}`)
)

func (s *side) note(pod *v1.Pod, what string, code int, text string) {
	text = strings.NewReplacer(string(pod.UID), "UID", pod.Name, "NAME").Replace(text)
	text = anyContainer.ReplaceAllString(anyTime.ReplaceAllString(text, "TIME"), "docker://CONTAINER")
	s.records = append(s.records, fmt.Sprintf("%s: %d %s", what, code, text))
}

// poll asks until a condition holds, and notes the answer by which it does.
func (s *side) poll(t *testing.T, pod *v1.Pod, what string, ok func(v1.ContainerStatus) bool) {
	t.Helper()
	eventually(t, runLimit, what, func() bool {
		_, text := s.say(t, pod, what, http.MethodGet, "/status", encode(t, []*v1.Pod{pod}))
		var seen []podStatus
		if err := json.Unmarshal([]byte(text), &seen); err != nil || len(seen) != 1 {
			t.Fatalf("status %q: %v", text, err)
		}
		if ok(seen[0].Container("c")) {
			return true
		}
		s.records = s.records[:len(s.records)-1]
		return false
	}, nil)
}

// live is the life of a pod with data of every kind: all that a Virtual Kubelet asks.
func (s *side) live(t *testing.T, d *daemon) {
	pod := newPod(shell("c", "cat /cm/a; echo; cat /secret/b; echo; cat /all/deep/c; echo; until test -e /go/now; do usleep 20000; done; echo end >&2; exit 3"))
	withVolume(pod, hostDir(filepath.Join(d.hostPath(), string(pod.UID))), "/go")
	for _, v := range []v1.Volume{
		{Name: "cm", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "the-map"}}}},
		{Name: "secret", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "the-secret"}}},
		{Name: "all", VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "deep/c"}}}}}},
	} {
		pod.Spec.Volumes = append(pod.Spec.Volumes, v)
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, v1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: "default"} }
	create := encode(t, s.create(pod, [2][]v1.ConfigMap{
		{{ObjectMeta: named("the-map"), Data: map[string]string{"a": "of the map"}}},
		{{ObjectMeta: named("all"), Data: map[string]string{"deep/c": "of the projection"}}},
	}, []v1.Secret{{ObjectMeta: named("the-secret"), Data: map[string][]byte{"b": []byte("of the secret")}}}))

	s.say(t, pod, "ping", s.ping[0], s.ping[1], []byte(s.ping[2]))
	s.say(t, pod, "status before the create", http.MethodGet, "/status", encode(t, []*v1.Pod{pod}))
	code, text := s.say(t, pod, "create", http.MethodPost, "/create", create)
	pod.Annotations = map[string]string{"JobID": decodeCreate(t, pod, code, text).PodJID}
	s.say(t, pod, "create again", http.MethodPost, "/create", create)
	followed, err := s.send(t.Context(), http.MethodGet, "/getLogs", logBody(t, pod, "c", logOptions{Follow: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer followed.Body.Close()
	// Readiness comes a moment after the start.
	s.poll(t, pod, "running", func(c v1.ContainerStatus) bool { return c.State.Running != nil && c.Ready })
	first := make([]byte, len("of the map\n"))
	if _, err := io.ReadFull(followed.Body, first); err != nil {
		t.Fatalf("the log that is followed begins with %q: %v", first, err)
	}
	touch(t, filepath.Join(d.hostPath(), string(pod.UID), "now"))
	rest, err := io.ReadAll(followed.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.note(pod, "followed log", followed.StatusCode, string(first)+string(rest))
	s.poll(t, pod, "ended", func(c v1.ContainerStatus) bool { return c.State.Terminated != nil })
	s.say(t, pod, "log", http.MethodGet, "/getLogs", logBody(t, pod, "c", logOptions{}))
	s.say(t, pod, "last line with its time", http.MethodGet, "/getLogs", logBody(t, pod, "c", logOptions{Tail: 1, Timestamps: true}))
	s.say(t, pod, "log of a container that is not there", http.MethodGet, "/getLogs", logBody(t, pod, "d", logOptions{}))
	s.say(t, pod, "log with a bad option", http.MethodGet, "/getLogs", logBody(t, pod, "c", logOptions{Tail: -1}))
	s.say(t, pod, "broken create", http.MethodPost, "/create", []byte(`{"pod":`))
	for _, what := range []string{"delete", "second delete"} {
		s.say(t, pod, what, s.remove, "/delete", encode(t, pod))
	}
	s.say(t, pod, "create after the delete", http.MethodPost, "/create", create)
	s.say(t, pod, "status after the delete", http.MethodGet, "/status", encode(t, []*v1.Pod{pod}))
}

// TestBothSidesAnswerAlike: the life of a pod through the built-in API, with TLS, a
// certificate and a token, and through the routes of a plugin.
func TestBothSidesAnswerAlike(t *testing.T) {
	t.Parallel()
	d := prepareForKubelets(t, map[string]any{"AVAILABLEDINDS": 1})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	plugin := &side{ping: [3]string{http.MethodGet, "/status", "[]"}, remove: http.MethodPost,
		send: func(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
			return d.Send(ctx, method, path, body, apiHeaders())
		},
		create: func(pod *v1.Pod, maps [2][]v1.ConfigMap, secrets []v1.Secret) any {
			request := newCreate(pod)
			request.GiveData(maps[0], maps[1], secrets)
			return request
		}}
	kubelet := &side{ping: [3]string{http.MethodPost, "/pinglink", ""}, remove: http.MethodDelete, send: d.kubelet(t).Send,
		create: func(pod *v1.Pod, maps [2][]v1.ConfigMap, secrets []v1.Secret) any {
			return kit.PodCreate{Pod: pod, ConfigMaps: maps[0], ProjectedVolumeMaps: maps[1], Secrets: secrets}
		}}
	plugin.live(t, d.daemon)
	kubelet.live(t, d.daemon)
	if diff := cmp.Diff(plugin.records, kubelet.records); diff != "" {
		t.Errorf("answers (-plugin +built-in API):\n%s", diff)
	}
	// The answers that both give are right.
	all := strings.Join(kubelet.records, "\n")
	for _, want := range []string{`ping: 200 {"status":"ok"`, `status before the create: 200 [{"name":"NAME"`, `"reason":"ContainerCreating"`, `create: 200 {"PodUID":"UID","PodJID":"UID_`,
		"followed log: 200 of the map\nof the secret\nof the projection\nend\n", `"exitCode":3`, "last line with its time: 200 TIME end\n", "there: 404 ", "option: 400 ",
		"broken create: 400 ", "delete: 200 All containers", "second delete: 200", "create after the delete: 409 ", "status after the delete: 200 []"} {
		if !strings.Contains(all, want) {
			t.Errorf("no answer has %q:\n%s", want, all)
		}
	}
}
