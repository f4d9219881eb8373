package engine

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOperation(t *testing.T) {
	for request, want := range map[string]string{
		"GET /_ping":                                  "ping",
		"HEAD /_ping":                                 "ping",
		"GET /v1.41/info":                             "info",
		"GET /v1.41/events":                           "events",
		"POST /v1.41/containers/create":               "container create",
		"POST /v1.41/containers/0123/start":           "container start",
		"POST /v1.41/containers/0123/wait":            "container wait",
		"POST /v1.41/containers/0123/exec":            "container exec",
		"POST /containers/0123/rename":                "container rename",
		"GET /v1.41/containers/json":                  "container list",
		"GET /v1.41/containers/0123/json":             "container inspect",
		"DELETE /v1.41/containers/create":             "container remove",
		"GET /v1.41/containers/0123/secret":           "container other",
		"GET /v1.41/exec/0123/json":                   "exec inspect",
		"POST /v1.41/images/create":                   "image create",
		"GET /v1.41/images/registry.org/a/start/json": "image inspect",
		"GET /v1.41/images/get":                       "image get",
		"POST /v1.41/images/load":                     "image load",
		"GET /v1.41/networks":                         "network list",
		"POST /v1.41/networks/create":                 "network create",
		"DELETE /v1.41/networks/0123":                 "network remove",
		"GET /v1.41/plugins/anything":                 "other",
		"GET /":                                       "other",
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := operation(method, path); got != want {
			t.Errorf("operation of %s is %q, want %q", request, got, want)
		}
	}
}

// Every request is told of once, those that nobody answers too.
func TestCallsAreObserved(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			http.Error(w, `{"message":"no such container"}`, http.StatusNotFound)
		}
	}))
	address := server.Listener.Addr().String()
	var mu sync.Mutex
	var seen []Call
	c, err := Connect("tcp://"+address, func(call Call) {
		mu.Lock()
		defer mu.Unlock()
		if call.Took <= 0 {
			t.Errorf("%s took %s", call.Operation, call.Took)
		}
		call.Took = 0
		seen = append(seen, call)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Inspect(t.Context(), "gone"); err == nil {
		t.Error("a container that is not there was inspected")
	}
	server.Close()
	if err := c.Ping(t.Context()); err == nil {
		t.Error("nobody answered a ping")
	}
	want := []Call{{Operation: "ping", Code: 200}, {Operation: "container inspect", Code: 404}, {Operation: "ping"}}
	// A ping that fails may be tried in two ways.
	if len(seen) > len(want) {
		seen = seen[:len(want)]
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
