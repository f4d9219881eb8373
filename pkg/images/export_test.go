package images

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"

// Credentials is what the tests of this package ask from outside.
func (k Keyring) Credentials(host string) (engine.Credentials, error) { return k.credentials(host) }
