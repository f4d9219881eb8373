package keyring_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

// FuzzOf: a pod's secret gives what it holds for the registry that is asked,
// and never has this host run a credential helper.
func FuzzOf(f *testing.F) {
	for _, text := range []string{`{"auths":{"r.example":{"auth":"bWU6c2VjcmV0"}}}`, `{"auths":{"r.example":{"username":"me","password":"p"}}}`,
		`{"auths":{"r.example":{"identitytoken":"t"}}}`, `{"auths":{"r.example":{"auth":"!"}}}`,
		`{"auths":{"https://r.example/v1/":{"auth":"bWU6c2VjcmV0"},"r.example/team":{"auth":"bWU6c2VjcmV0"},"r.example/team/app/x":{"auth":"!"}}}`, `{"credsStore":"x","credHelpers":{"r.example":"y"}}`, `{"auths":null}`, `{"auths":{"*.exam[a-p]le/team":{"auth":"bWU6c2VjcmV0"}}}`, `[]`, ``} {
		f.Add([]byte(text), "r.example")
	}
	// Helpers that leave a trace, under the names that somebody may come to.
	dir := f.TempDir()
	trace := filepath.Join(dir, "ran")
	for _, name := range []string{"", "x", "y", "pass", "secretservice", "desktop"} {
		script := "#!/bin/sh\necho " + name + " >>" + trace + "\n"
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o700); err != nil {
			f.Fatal(err)
		}
	}
	f.Setenv("PATH", dir)
	f.Fuzz(func(t *testing.T, file []byte, host string) {
		keys := keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{v1.DockerConfigJsonKey: file}}})
		if len(keys) > 1 {
			t.Fatalf("%d keys of one secret", len(keys))
		}
		found, err := all(keys, host, "team/app")
		for _, one := range found {
			if one.Server != host {
				t.Fatalf("credentials for %q were given for %q", one.Server, host)
			}
			if one.User+one.Password+one.IdentityToken == "" {
				t.Fatal("credentials with nothing in them")
			}
		}
		if err != nil && !strings.Contains(err.Error(), host) {
			t.Fatalf("the error does not name the registry: %v", err)
		}
		if len(keys) == 1 && (keys[0].CredentialsStore != "" || len(keys[0].CredentialHelpers) > 0) {
			t.Fatal("a pod's secret names programs to run")
		}
		if _, err := os.Stat(trace); err == nil {
			t.Fatal("a credential helper was run")
		}
	})
}
