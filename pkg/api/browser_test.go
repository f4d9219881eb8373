package api_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// TestWebPages: what a page has a browser send reaches no pod, and its body is not
// read; the same calls from a program do.
func TestWebPages(t *testing.T) {
	reached := 0
	ours := fakePods{create: func(context.Context, *v1.Pod, volumes.Data) (string, error) { reached++; return "", nil },
		delete: func(context.Context, types.UID, *int64) error { reached++; return nil }}
	hosts := func(c *api.Config) { c.Plugin.Hosts = access.NewHosts("node.example.org") }
	s := limited(ours, hosts)
	bodies := map[string]string{"/create": `{"pod":{"metadata":{"uid":"` + uid + `"}}}`, "/delete": `{"metadata":{"uid":"` + uid + `"}}`}
	ask := func(route, host string, headers ...string) *response {
		request := httptest.NewRequest("POST", route, strings.NewReader(bodies[route]))
		request.Host = host
		for i := 0; i+1 < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		return answer(s, request)
	}
	for route := range bodies {
		for _, host := range []string{"127.0.0.1:4000", "[::1]:4000", "localhost:4000", "node.example.org:4000"} {
			reached = 0
			if got := ask(route, host, "Content-Type", "application/json", "InterLink-Http-Session", "CreatePod#1"); got.Code != 200 || reached != 1 {
				t.Errorf("interLink's own call of %s under %s: %d %s", route, host, got.Code, got.Body)
			}
		}
	}
	reached = 0
	for _, route := range []string{"/create", "/status", "/delete", "/getLogs"} {
		wantAnswer(t, ask(route, "evil.example:4000", "Content-Type", "text/plain"), 421, "AllowedHosts")
		wantAnswer(t, ask(route, "127.0.0.1:4000", "Content-Type", "text/plain", "Origin", "http://evil.example"), 403, "Origin")
		wantAnswer(t, ask(route, "127.0.0.1:4000", "Origin", "null"), 403, "Origin")
		wantAnswer(t, ask(route, "localhost:4000", "Sec-Fetch-Site", "cross-site"), 403, "Sec-Fetch-Site")
		// With its name pointed here, a page counts as the server's own.
		wantAnswer(t, ask(route, "evil.example:4000", "Sec-Fetch-Site", "same-origin"), 403, "")
	}
	if reached != 0 {
		t.Errorf("%d calls reached the pods", reached)
	}
	wantAnswer(t, ask("/readyz", "evil.example:4000"), 421, "AllowedHosts")
	wantAnswer(t, ask("/readyz", "localhost:4000", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"), 403, "another site")
	wantAnswer(t, ask("/readyz", "localhost:4000", "Sec-Fetch-Site", "none"), 503, "x.sock")
	wantAnswer(t, ask("/healthz", "evil.example:4000"), 200, "ok")

	// Where callers prove who they are, any name will do, and no page all the same.
	s = limited(ours, func(c *api.Config) {
		c.Plugin.Authorized = func(header string) bool { return header == "Bearer right" }
	})
	wantAnswer(t, ask("/delete", "behind-a-proxy", "Authorization", "Bearer right"), 200, "")
	wantAnswer(t, ask("/delete", "behind-a-proxy", "Authorization", "Bearer right", "Origin", "http://evil.example"), 403, "Origin")
}
