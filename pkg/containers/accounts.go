package containers

import (
	"context"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

const (
	// maxAccountsBytes bounds each of the two files that accounts are read from.
	maxAccountsBytes = 1 << 20
	// maxKnownAccounts bounds the images whose accounts are remembered.
	maxKnownAccounts = 1000
)

// Accounts remembers the users and groups of images, for all pods. An engine shows files
// of containers only, so that they cost a container that is made and not started.
type Accounts struct {
	mu    sync.Mutex
	known map[string]podspec.Accounts
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

// completeGroups has the container's processes be in the groups that the pod's policy says.
func (r *runner) completeGroups(ctx context.Context, spec *engine.Spec, image images.Image) error {
	if !podspec.NeedsAccounts(r.p.Spec, spec.User, image.User) {
		return nil
	}
	accounts, known := r.p.Accounts.get(image.ID)
	if !known {
		var err error
		if accounts, err = r.readAccounts(ctx, image.ID); err != nil {
			return err
		}
		r.p.Accounts.put(image.ID, accounts)
	}
	accounts.Apply(spec, r.p.Spec, image.User)
	return nil
}

// readAccounts reads the users and groups of an image; one that lacks a file has none.
func (r *runner) readAccounts(ctx context.Context, image string) (podspec.Accounts, error) {
	// No container of a pod has such a name: those are DNS labels.
	id, err := r.s.Engine.CreateOnce(ctx, engine.Spec{Name: podspec.ContainerName(r.p.Spec, "_accounts_"+r.spec.Name), Image: image,
		Entrypoint: []string{"/"}, Network: "none", Labels: map[string]string{engine.LabelPodUID: string(r.p.Spec.UID)}})
	if err != nil {
		return podspec.Accounts{}, err
	}
	var files [2][]byte
	for i, name := range []string{"/etc/passwd", "/etc/group"} {
		files[i], err = engine.ReadFile(ctx, r.s.Engine, id, name, maxAccountsBytes)
		if err != nil && !errdefs.IsNotFound(err) {
			return podspec.Accounts{}, err
		}
	}
	if err := r.s.Engine.Remove(ctx, id); err != nil {
		return podspec.Accounts{}, err
	}
	return podspec.ParseAccounts(files[0], files[1])
}
