package keyring_test

import (
	"context"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

// all that a keyring has for a repository, up to the first error.
func all(keys keyring.Keyring, host, repository string) (out []engine.Credentials, err error) {
	for found, err := range keys.For(context.Background(), host, repository) {
		if err != nil {
			return out, err
		}
		out = append(out, found)
	}
	return out, nil
}

// TestOf_RunsNoHelpers: a pod's secret must not name programs of this host.
func TestOf_RunsNoHelpers(t *testing.T) {
	keys := keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{v1.DockerConfigJsonKey: []byte(`{"credsStore":"evil","credHelpers":{"r.example.com":"evil"}}`)}}})
	if len(keys) != 1 || keys[0].CredentialsStore != "" || len(keys[0].CredentialHelpers) != 0 {
		t.Errorf("helpers were kept: %+v", keys)
	}
}

// TestOf_OlderForm: secrets that hold the entries alone.
func TestOf_OlderForm(t *testing.T) {
	keys := keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockercfg,
		Data: map[string][]byte{v1.DockerConfigKey: []byte(`{"https://r.example/v1/":{"auth":"bWU6c2VjcmV0"}}`)}}})
	found, err := all(keys, "r.example", "team/app")
	if want := []engine.Credentials{{User: "me", Password: "secret", Server: "r.example"}}; err != nil || !slices.Equal(found, want) {
		t.Errorf("credentials %+v, %v, want %+v", found, err, want)
	}
}
