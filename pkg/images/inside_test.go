package images_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// sandboxEngine is an engine whose registry refuses all users but one. It notes
// who has tried.
func sandboxEngine(t *testing.T, accepted string) (*engine.Client, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var tried []string
	pulled := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path == "/_ping":
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/images/create"):
			var auth struct{ Username string }
			text, err := base64.URLEncoding.DecodeString(r.Header.Get("X-Registry-Auth"))
			if err == nil {
				err = json.Unmarshal(text, &auth)
			}
			if err != nil {
				t.Error(err)
			}
			tried = append(tried, auth.Username)
			if pulled = auth.Username == accepted; !pulled {
				w.WriteHeader(http.StatusNotFound)
				io.WriteString(w, `{"message":"pull access denied for r.example/app, repository does not exist or may require 'docker login'"}`)
			}
		case pulled:
			io.WriteString(w, `{"Id":"sha256:inside"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"message":"No such image"}`)
		}
	}))
	client, err := engine.Connect("tcp://" + server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(tried)
	}
}

// TestPullInside_TriesTheNextCredentials, also where the engine takes a refusal
// for an image that does not exist.
func TestPullInside_TriesTheNextCredentials(t *testing.T) {
	client, tried := sandboxEngine(t, "b")
	p := images.New(images.Config{PullInside: true}, newHost())
	defer p.Close()
	keys := keysOf(map[string]string{"2": auths(t, map[string]string{"r.example": "b"}), "3": auths(t, map[string]string{"r.example": "c"}),
		"1": auths(t, map[string]string{"r.example/": "a"})})
	image, err := p.Ensure(t.Context(), &sandbox.Sandbox{Name: "s", Engine: client}, images.Want{Ref: "r.example/app:1", Policy: v1.PullIfNotPresent, Keys: keys})
	if err != nil || image.ID != "sha256:inside" {
		t.Errorf("got %+v, error %v", image, err)
	}
	if got := strings.Join(tried(), " "); got != "a b" {
		t.Errorf("tried %q, want a, then b", got)
	}
}
