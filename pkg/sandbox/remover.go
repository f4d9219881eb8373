package sandbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// RemoverHost is what a Remover needs of the host's engine.
type RemoverHost interface {
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Remove(ctx context.Context, id string) error
	UnusedVolumes(ctx context.Context, labels ...string) ([]engine.Volume, error)
	RemoveVolume(ctx context.Context, name string) error
}

// Remover removes what is there of sandboxes. All of it may be repeated.
type Remover struct {
	config   Config
	host     RemoverHost
	networks *Networks
	// keepVolumes leaves volumes alone that no container uses.
	keepVolumes bool
	// volumes is held while unused volumes are removed.
	volumes sync.Mutex
}

// NewRemover returns one. With keepVolumes it leaves volumes alone that the engine did
// not remove with their container.
func NewRemover(config Config, host RemoverHost, networks *Networks, keepVolumes bool) *Remover {
	return &Remover{config: config, host: host, networks: networks, keepVolumes: keepVolumes}
}

// Remove removes a sandbox's container and network and keeps its folder.
func (r *Remover) Remove(ctx context.Context, name string) error {
	if err := r.remove(ctx, name); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", name, err)
	}
	return nil
}

func (r *Remover) remove(ctx context.Context, name string) error {
	found, err := r.host.List(ctx, r.config.labelledAs(name)...)
	problems := []error{err}
	// What holds its network goes after what is in it.
	holders, others := divide(found)
	r.endFuse(ctx, name)
	for _, container := range others {
		problems = append(problems, r.host.Remove(ctx, container.ID))
	}
	fault.Point("sandbox.remove.sandbox")
	for _, container := range holders {
		problems = append(problems, r.host.Remove(ctx, container.ID))
	}
	if err := errors.Join(problems...); err != nil {
		return err // its files and network are in use until the container is gone
	}
	fault.Point("sandbox.remove.container")
	if len(found) > 0 {
		// What this cannot remove the sweep tries again, and tells of.
		_ = r.RemoveVolumesSoon(ctx)
	}
	return r.networks.remove(ctx, name)
}

// fuseTime bounds the end of a sandbox's FUSE file systems.
const fuseTime = 5 * time.Second

// endFuse ends the FUSE file systems of a sandbox that runs: an engine waits for ever for
// the end of a process that waits for its own file system.
func (r *Remover) endFuse(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, fuseTime)
	defer cancel()
	err := initapi.NewClient(r.config.Folder(name)).EndFuse(ctx)
	if err != nil && !errdefs.IsUnavailable(err) && !errdefs.IsNotImplemented(err) {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("FUSE file systems of a sandbox could not be ended")
	}
}

// Destroy removes a sandbox's container, network and folder, whichever of them exist.
func (r *Remover) Destroy(ctx context.Context, name string) error {
	if !IsName(name) {
		// Its folder would be that of all sandboxes.
		return fmt.Errorf("destroy sandbox %q: %w", name, errdefs.ErrInvalidArgument)
	}
	if err := r.Remove(ctx, name); err != nil {
		return err
	}
	if err := r.config.RemoveFolder(ctx, r.config.Folder(name)); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", name, err)
	}
	fault.Point("sandbox.remove.folder")
	return nil
}

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
		if anonymous.MatchString(v.Name) { // an ImageStore's has a name, and stays
			problems = append(problems, r.removeVolume(ctx, v))
		}
	}
	return errors.Join(problems...)
}

// volumesTime bounds how long one sandbox's removal, or the start, waits for volumes: a tree
// that another pod has left may take minutes.
const volumesTime = 5 * time.Second

// RemoveVolumesSoon is RemoveVolumes for callers that do not wait for what takes long. The
// sweep does.
func (r *Remover) RemoveVolumesSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, volumesTime)
	defer cancel()
	return r.RemoveVolumes(ctx)
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
