package engine

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestPull_ReportsProgress(t *testing.T) {
	stream := strings.Join([]string{
		`{"status":"Pulling from x","id":"latest"}`,
		`{"status":"Already exists","progressDetail":{},"id":"base"}`,
		`{"status":"Pulling fs layer","progressDetail":{},"id":"a"}`,
		`{"status":"Pulling fs layer","progressDetail":{},"id":"b"}`,
		`{"status":"Downloading","progressDetail":{"current":10,"total":100},"id":"a"}`,
		`{"status":"Retrying in 5 seconds","id":"a"}`,
		`{"status":"Downloading","progressDetail":{"current":50,"total":300},"id":"b"}`,
		`{"status":"Download complete","progressDetail":{},"id":"a"}`,
		`{"status":"Download complete","progressDetail":{},"id":"b"}`,
		`{"status":"Extracting","progressDetail":{"current":1,"total":100},"id":"a"}`,
		`{"status":"Status: Downloaded newer image"}`,
	}, "\n")
	c, _ := serve(t, map[string]http.HandlerFunc{"POST /images/create": says(200, stream)})
	var got []PullProgress
	if err := c.Pull(t.Context(), "x", Credentials{}, func(p PullProgress) { got = append(got, p) }); err != nil {
		t.Fatal(err)
	}
	want := []PullProgress{{Unpacking: true}, {Unsized: 1}, {Unsized: 2}, {Done: 10, Total: 100, Unsized: 1},
		{Done: 60, Total: 400}, {Done: 150, Total: 400}, {Done: 400, Total: 400, Unpacking: true},
		{Done: 400, Total: 400, Unpacking: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestPull_RegistryRefuses(t *testing.T) {
	for message, class := range map[string]func(error) bool{
		"unauthorized: authentication required":                      errdefs.IsPermissionDenied,
		"Head x: no basic auth credentials":                          errdefs.IsPermissionDenied,
		"denied: requested access to the resource is denied":         errdefs.IsPermissionDenied,
		"dial tcp 127.0.0.1:1: connect: connection refused":          func(err error) bool { return !errdefs.IsPermissionDenied(err) },
		"received unexpected HTTP status: 500 Internal Server Error": func(err error) bool { return !errdefs.IsPermissionDenied(err) },
		"toomanyrequests: You have reached your pull rate limit":     func(err error) bool { return !errdefs.IsPermissionDenied(err) },
	} {
		body, err := json.Marshal(map[string]string{"message": message})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := serve(t, map[string]http.HandlerFunc{"POST /images/create": says(500, string(body))})
		err = c.Pull(t.Context(), "x", Credentials{}, nil)
		if err == nil || !class(err) || !strings.Contains(err.Error(), message) || errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("%s: %v", message, err)
		}
	}
}
