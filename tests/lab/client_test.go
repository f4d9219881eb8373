package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/lab/rootfs"
)

// serve returns a client of an engine that answers with handler.
func serve(t *testing.T, handler http.Handler) *client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(endpoint{"tcp", address.Host})
	t.Cleanup(c.close)
	return c
}

func wanted(t *testing.T) image {
	t.Helper()
	tree := rootfs.NewTree()
	tree.File("f", 0o644, "content")
	return image{repo: "docker-sd-test/x", tag: "dev", tree: tree, changes: []string{`CMD ["sh"]`}, hash: "new"}
}

func TestClient_Ensure(t *testing.T) {
	tests := []struct {
		name string
		// have is the hash of the engine's image, none when empty.
		have  string
		made  bool
		calls []string
	}{
		{"missing", "", true, []string{"GET /images/docker-sd-test/x:dev/json", "POST /images/create"}},
		{"current", "new", false, []string{"GET /images/docker-sd-test/x:dev/json"}},
		{"out of date", "old", true, []string{"GET /images/docker-sd-test/x:dev/json", "POST /images/create", "DELETE /images/sha256:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls []string
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls = append(calls, r.Method+" "+r.URL.Path)
				switch {
				case r.Method == http.MethodPost:
					checkImport(t, r)
				case r.Method == http.MethodGet && tt.have == "":
					w.WriteHeader(http.StatusNotFound)
					fmt.Fprint(w, `{"message":"no such image"}`)
				case r.Method == http.MethodGet:
					fmt.Fprintf(w, `{"Id":"sha256:1","Config":{"Labels":{%q:%q}}}`, hashLabel, tt.have)
				}
			}))
			made, err := c.ensure(t.Context(), wanted(t))
			if err != nil || made != tt.made {
				t.Errorf("made %t, error %v, want %t", made, err, tt.made)
			}
			if diff := cmp.Diff(tt.calls, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func checkImport(t *testing.T, r *http.Request) {
	t.Helper()
	want := url.Values{
		"fromSrc": {"-"}, "repo": {"docker-sd-test/x"}, "tag": {"dev"},
		"changes": {"LABEL docker-sd.lab.hash=new", `CMD ["sh"]`},
	}
	if diff := cmp.Diff(want, r.URL.Query()); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || !strings.Contains(string(body), "content") {
		t.Errorf("%d bytes without the file's content, error %v", len(body), err)
	}
}

func TestClient_EnsureFails(t *testing.T) {
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"refused":           {http.StatusInternalServerError, `{"message":"disk full"}`},
		"failed on the way": {http.StatusOK, `{"status":"Importing"}` + "\n" + `{"error":"disk full"}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				w.WriteHeader(answer.status)
				fmt.Fprintln(w, answer.body)
			}))
			_, err := c.ensure(t.Context(), wanted(t))
			if err == nil || !strings.Contains(err.Error(), "disk full") {
				t.Errorf("error %v, want the engine's message", err)
			}
		})
	}
}

func TestClient_RemoveContainer(t *testing.T) {
	for status, fails := range map[int]bool{http.StatusNoContent: false, http.StatusNotFound: false, http.StatusConflict: true} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.URL.RawQuery; got != "force=1&v=1" {
					t.Errorf("query %q", got)
				}
				w.WriteHeader(status)
			}))
			if err := c.removeContainer(t.Context(), "id"); (err != nil) != fails {
				t.Errorf("error %v, want failure %t", err, fails)
			}
		})
	}
}

func TestClient_ImageNotFound(t *testing.T) {
	c := serve(t, http.NotFoundHandler())
	if _, err := c.image(t.Context(), "x"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
}

func TestSplitContainers(t *testing.T) {
	var list []containerInfo
	answer := `[{"Id":"1","Labels":{"docker-sd.instance":"x"}},{"Id":"2","Labels":{"docker-sd.lab":""}},
		{"Id":"3","Labels":{"docker-sd.other":"x"}},{"Id":"4","Labels":null}]`
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		t.Fatal(err)
	}
	mine, others := splitContainers(list)
	ids := func(list []containerInfo) (got string) {
		for _, c := range list {
			got += c.ID
		}
		return got
	}
	if ids(mine) != "12" || ids(others) != "34" {
		t.Errorf("ours %s and others %s, want 12 and 34", ids(mine), ids(others))
	}
}
