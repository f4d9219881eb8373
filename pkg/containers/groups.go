package containers

import (
	"context"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

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
