package containers

import (
	"sync"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

const (
	// maxAccountsBytes bounds each of the two files that accounts are read from.
	maxAccountsBytes = 1 << 20
	// maxKnownAccounts bounds the images whose accounts are remembered.
	maxKnownAccounts = 1000
)

// Accounts remembers the users and groups of images, and what they have of certificates, for
// all pods. An engine shows files of containers only, so that they cost a container that is
// made and not started.
type Accounts struct {
	mu      sync.Mutex
	known   map[string]podspec.Accounts
	bundles map[string][]bundle
}

// get returns what is remembered of an image.
func (a *Accounts) get(image string) (podspec.Accounts, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, known := a.known[image]
	return found, known
}

// put remembers an image's accounts.
func (a *Accounts) put(image string, accounts podspec.Accounts) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= maxKnownAccounts {
		a.known = map[string]podspec.Accounts{}
	}
	a.known[image] = accounts
}
