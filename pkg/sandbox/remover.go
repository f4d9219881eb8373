package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
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
		_ = r.RemoveVolumes(ctx)
	}
	return r.networks.remove(ctx, name)
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
