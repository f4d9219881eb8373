package engine

import (
	"net/http"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/registry"
)

// TestPull_Credentials: what the engine is given of them, and nothing for none.
func TestPull_Credentials(t *testing.T) {
	for name, c := range map[string]struct {
		auth Credentials
		want registry.AuthConfig
	}{
		"none":     {},
		"password": {Credentials{User: "u", Password: "p", Server: "r.example"}, registry.AuthConfig{Username: "u", Password: "p", ServerAddress: "r.example"}},
		"identity token": {Credentials{IdentityToken: "t", Server: "r.example"},
			registry.AuthConfig{IdentityToken: "t", ServerAddress: "r.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			header := ""
			client, _ := serve(t, map[string]http.HandlerFunc{"POST /images/create": func(w http.ResponseWriter, r *http.Request) {
				header = r.Header.Get(registry.AuthHeader)
				says(200, `{"status":"Downloaded newer image"}`)(w, r)
			}})
			if err := client.Pull(t.Context(), "i", c.auth, nil); err != nil {
				t.Fatal(err)
			}
			if c.auth == (Credentials{}) {
				if header != "" {
					t.Error("an anonymous pull sent credentials")
				}
				return
			}
			if got, err := registry.DecodeAuthConfig(header); err != nil || *got != c.want {
				t.Errorf("the engine got %+v, error %v, want %+v", got, err, c.want)
			}
		})
	}
}

// TestPull_Refusals: engines call some refusals an image that does not exist, and
// it is both then.
func TestPull_Refusals(t *testing.T) {
	for name, c := range map[string]struct {
		answer          http.HandlerFunc
		denied, missing bool
	}{
		"denied":                          {says(404, `{"message":"pull access denied for i, repository does not exist or may require 'docker login': denied: requested access"}`), true, true},
		"denied, of the containerd store": {says(404, `{"message":"pull access denied for i, repository does not exist or may require 'docker login'"}`), true, true},
		"an image that does not exist":    {says(404, `{"message":"manifest for r.example/denied:1 not found: manifest unknown"}`), false, true},
		"401 of a registry without words": {says(500, `{"message":"unexpected status from HEAD request to https://r.example/v2/i/manifests/1: 401 Unauthorized"}`), true, false},
		"403 of a registry without words": {says(500, `{"message":"unexpected status from HEAD request to https://r.example/v2/i/manifests/1: 403 Forbidden"}`), true, false},
		"in a stream":                     {says(200, `{"error":"unauthorized: incorrect username or password"}`), true, false},
		"a server that is broken":         {says(500, `{"message":"received unexpected HTTP status: 502 Bad Gateway"}`), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, map[string]http.HandlerFunc{"POST /images/create": c.answer})
			err := client.Pull(t.Context(), "i", Credentials{User: "u", Password: "p"}, nil)
			if err == nil || errdefs.IsPermissionDenied(err) != c.denied || errdefs.IsNotFound(err) != c.missing {
				t.Errorf("Pull() = %v, denied %t and not found %t, want %t and %t", err, errdefs.IsPermissionDenied(err), errdefs.IsNotFound(err), c.denied, c.missing)
			}
		})
	}
}
