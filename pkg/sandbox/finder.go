package sandbox

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// FinderHost is what a Finder needs of the host's engine.
type FinderHost interface {
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	ListNetworks(ctx context.Context, labels ...string) ([]engine.Network, error)
}

// Finder finds the sandboxes that are on the host's engine, by their labels.
type Finder struct {
	config Config
	host   FinderHost
}

// NewFinder returns one for the sandboxes of an instance.
func NewFinder(config Config, host FinderHost) *Finder { return &Finder{config: config, host: host} }

// Found is what there is on the host's engine.
type Found struct {
	// Sandboxes are the containers of sandboxes and of standbys, Holders those that hold
	// a network.
	Sandboxes, Holders []engine.Container
	Networks           []engine.Network
}

// Containers lists Sandboxes and Holders.
func (f Found) Containers() []engine.Container { return slices.Concat(f.Sandboxes, f.Holders) }

// All lists what was made with this instance's name and folder: what another docker-sd of
// the same name makes, which was not there yet for CheckInstance, is left out.
func (f *Finder) All(ctx context.Context) (Found, error) {
	own := append(f.config.labelled(), engine.LabelFolder+"="+f.config.Dir)
	listed, err := f.host.List(ctx, own...)
	if err != nil {
		return Found{}, fmt.Errorf("find sandboxes: %w", err)
	}
	networks, err := f.host.ListNetworks(ctx, own...)
	if err != nil {
		return Found{}, fmt.Errorf("find networks of sandboxes: %w", err)
	}
	holders, sandboxes := divide(listed)
	return Found{Sandboxes: sandboxes, Holders: holders, Networks: networks}, nil
}

// Named returns the sandbox whose container Assign gave a pod's name, "" if there
// is none.
func (f *Finder) Named(ctx context.Context, podUID string) (string, error) {
	found, err := f.host.List(ctx, f.config.labelled()...)
	if err != nil {
		return "", fmt.Errorf("find the sandbox of pod %s: %w", podUID, err)
	}
	for _, c := range found {
		if c.Name == AssignedName(podUID) {
			return c.Labels[engine.LabelSandbox], nil
		}
	}
	return "", nil
}

// Runs says whether the named sandbox's container runs. One that is gone does not.
func (f *Finder) Runs(ctx context.Context, name string) (bool, error) {
	found, err := containers(ctx, f.config, f.host.List, name)
	if err != nil {
		return false, fmt.Errorf("look for sandbox %s: %w", name, err)
	}
	return slices.ContainsFunc(found, func(c engine.Container) bool { return c.State.Alive() }), nil
}

// containers of the named sandbox but the holder of its network: one, or none.
func containers(ctx context.Context, config Config, list func(context.Context, ...string) ([]engine.Container, error), name string) ([]engine.Container, error) {
	found, err := list(ctx, config.labelledAs(name)...)
	return slices.DeleteFunc(found, isHolder), err
}

// isHolder tells the holder of a sandbox's network from the sandbox.
func isHolder(c engine.Container) bool {
	_, held := c.Labels[engine.LabelHolder]
	return held
}

// divide separates the holders of sandboxes' networks from all other containers.
func divide(containers []engine.Container) (holders, others []engine.Container) {
	for _, c := range containers {
		if isHolder(c) {
			holders = append(holders, c)
		} else {
			others = append(others, c)
		}
	}
	return holders, others
}

// CheckInstance refuses a name that another docker-sd uses on this engine: each
// would remove the other's sandboxes as strays.
func (f *Finder) CheckInstance(ctx context.Context) error {
	found, err := f.host.List(ctx, f.config.labelled()...)
	if err != nil {
		return fmt.Errorf("find earlier sandboxes: %w", err)
	}
	for _, c := range found {
		if folder := c.Labels[engine.LabelFolder]; folder != f.config.Dir {
			return fmt.Errorf("a docker-sd of the same Instance %q, with its data in %s, made sandbox %s: "+
				"choose another Instance, or remove those containers: %w",
				f.config.Instance, filepath.Dir(folder), c.Name, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}
