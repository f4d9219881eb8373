package images

import (
	"context"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Credentials is what the tests of this package ask from outside: all that the
// keyring has for a repository, up to the first error.
func (k Keyring) Credentials(host, repository string) (out []engine.Credentials, err error) {
	for found, err := range k.credentials(context.Background(), host, repository) {
		if err != nil {
			return out, err
		}
		out = append(out, found)
	}
	return out, nil
}
