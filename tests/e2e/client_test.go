//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	v1 "k8s.io/api/core/v1"
)

// client speaks the sidecar protocol as the interLink API does. Its types are
// written down here again, so that a mistake in the daemon's cannot hide itself.
type client struct{ *kit.Caller }

// newClient talks over a unix socket.
func newClient(socket string) *client { return &client{kit.Unix(socket)} }

// apiHeaders are what the interLink API sends.
func apiHeaders() map[string]string { return kit.Headers("E2E#1") }

func (c *client) call(ctx context.Context, method, path string, body []byte) (int, string, error) {
	return c.Call(ctx, method, path, body, apiHeaders())
}

// must is call for calls that have to be answered, with whatever code.
func (c *client) must(t *testing.T, method, path string, body []byte) (int, string) {
	t.Helper()
	code, text, err := c.call(t.Context(), method, path, body)
	if err != nil {
		t.Fatalf("%s %s was not answered: %v", method, path, err)
	}
	return code, text
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// createRequest is the body of /create today; a list of one is that of 2024.
type createRequest struct {
	Pod       *v1.Pod         `json:"pod"`
	Container []containerData `json:"container"`
	JobConfig struct{}        `json:"jobConfig"`
}

type containerData struct {
	Name       string         `json:"name"`
	ConfigMaps []v1.ConfigMap `json:"configMaps"`
	Projected  []v1.ConfigMap `json:"projectedvolumemaps"`
	Secrets    []v1.Secret    `json:"secrets"`
	EmptyDirs  []string       `json:"emptyDirs"`
}

func newCreate(pod *v1.Pod) createRequest {
	request := createRequest{Pod: pod}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			request.Container = append(request.Container, containerData{Name: c.Name})
		}
	}
	return request
}

type createAnswer struct{ PodUID, PodJID string }

// decodeCreate reads an answer as the Virtual Kubelet does: anything but one
// object with the pod's own UID fails the pod (protocol 1.4).
func decodeCreate(t *testing.T, pod *v1.Pod, code int, text string) createAnswer {
	t.Helper()
	if code != http.StatusOK {
		t.Fatalf("create was answered with %d: %s", code, text)
	}
	var answer createAnswer
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("create was answered with %q: %v", text, err)
	}
	if answer.PodUID != string(pod.UID) || answer.PodJID == "" {
		t.Fatalf("create of %s was answered with %q", pod.UID, text)
	}
	return answer
}

// podStatus is one entry of the status answer (protocol 2.1).
type podStatus struct {
	Name           string               `json:"name"`
	UID            string               `json:"UID"`
	Namespace      string               `json:"namespace"`
	JID            string               `json:"JID"`
	Containers     []v1.ContainerStatus `json:"containers"`
	InitContainers []v1.ContainerStatus `json:"initContainers"`
}

func (s podStatus) container(name string) v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{s.Containers, s.InitContainers} {
		for _, c := range list {
			if c.Name == name {
				return c
			}
		}
	}
	return v1.ContainerStatus{}
}

// poll asks for several pods in one call.
func (c *client) poll(t *testing.T, pods ...*v1.Pod) []podStatus {
	t.Helper()
	code, text := c.must(t, http.MethodGet, "/status", encode(t, pods))
	if code != http.StatusOK {
		t.Fatalf("status was answered with %d: %s", code, text)
	}
	var out []podStatus
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("status was answered with %q: %v", text, err)
	}
	return out
}

// logRequest is the body of /getLogs (protocol 3.1).
type logRequest struct {
	Namespace, PodUID, PodName, ContainerName string
	Opts                                      logOptions
}

type logOptions struct {
	Tail         int
	Bytes        int
	Timestamps   bool
	Follow       bool
	Previous     bool
	SinceSeconds int
	SinceTime    time.Time
}

func logBody(t *testing.T, pod *v1.Pod, container string, opts logOptions) []byte {
	t.Helper()
	return encode(t, logRequest{Namespace: pod.Namespace, PodUID: string(pod.UID), PodName: pod.Name,
		ContainerName: container, Opts: opts})
}
