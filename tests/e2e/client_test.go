//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

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

// The types of the protocol are those of all programs that speak it.
type (
	createRequest = kit.CreateRequest
	createAnswer  = kit.CreateAnswer
	podStatus     = kit.PodStatus
	logOptions    = kit.LogOptions
)

func newCreate(pod *v1.Pod) createRequest { return kit.NewCreate(pod) }

// decodeCreate fails the test where the Virtual Kubelet would fail the pod.
func decodeCreate(t *testing.T, pod *v1.Pod, code int, text string) createAnswer {
	t.Helper()
	answer, err := kit.DecodeCreate(pod, code, text)
	if err != nil {
		t.Fatal(err)
	}
	return answer
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

func logBody(t *testing.T, pod *v1.Pod, container string, opts logOptions) []byte {
	t.Helper()
	body, err := kit.LogBody(pod, container, opts)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
