package sandbox

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// anonymous is the name that an engine gives a volume that has none.
var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

// RemoveVolumes removes volumes of sandboxes that are gone. An engine removes them with
// their container, and says that it has when it has failed: it takes a descriptor for
// each level of folders in them, and those are as many as a pod likes. What it cannot
// remove is emptied here first, where the engine's files can be reached. One call does
// it at a time, the others leave it to the next.
func (r *Remover) RemoveVolumes(ctx context.Context) error {
	if r.keepVolumes || !r.volumes.TryLock() {
		return nil
	}
	defer r.volumes.Unlock()
	found, err := r.host.UnusedVolumes(ctx, engine.LabelInstance+"="+r.config.Instance)
	if err != nil {
		return err
	}
	var problems []error
	for _, v := range found {
		if anonymous.MatchString(v.Name) { // a Store's has a name, and stays
			problems = append(problems, r.removeVolume(ctx, v))
		}
	}
	return errors.Join(problems...)
}

func (r *Remover) removeVolume(ctx context.Context, v engine.Volume) error {
	err := r.host.RemoveVolume(ctx, v.Name)
	if errdefs.IsConflict(err) {
		return nil // it is used after all
	}
	data := filepath.Join(v.Name, "_data")
	if err == nil || errdefs.IsUnavailable(err) || !filepath.IsAbs(v.Path) || filepath.Join(filepath.Base(filepath.Dir(v.Path)), filepath.Base(v.Path)) != data {
		return err
	}
	log.G(ctx).WithField("volume", v.Name).WithError(err).Warn("the engine could not remove a sandbox's volume, it is emptied first")
	if err := r.config.RemoveFolder(ctx, v.Path); err != nil {
		return err
	}
	return r.host.RemoveVolume(ctx, v.Name)
}
