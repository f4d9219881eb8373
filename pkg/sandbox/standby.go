package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// A standby is a sandbox that lacks only its engine: container, network and
// processes are there, which is half of what a boot costs, in a tenth of the
// memory of a warm one. It shares the host's images while it waits, and anew when
// it is woken if there may be others, so it never becomes stale.

// MakeStandby makes one and returns the id of its container.
func (m *Maker) MakeStandby(ctx context.Context, spec Spec) (id string, err error) {
	return m.make(ctx, spec, true)
}

// wakeLimit is how long a standby may take to begin: it has nothing to do but to
// answer.
const wakeLimit = 5 * time.Second

// Wake starts the engine of the standby in a container and returns when it answers.
// current says that the images which it shares are still the host's.
func (m *Maker) Wake(ctx context.Context, name, id string, current bool) (*Sandbox, error) {
	bounded, cancel := m.advancing(ctx, name)
	defer cancel()
	s, err := m.wake(bounded, name, id, current)
	if err = stuck(bounded, err); err != nil {
		return nil, fmt.Errorf("wake sandbox %s: %w", name, err)
	}
	return s, nil
}

func (m *Maker) wake(ctx context.Context, name, id string, current bool) (*Sandbox, error) {
	begin, cancel := context.WithTimeout(ctx, wakeLimit)
	defer cancel()
	err := awaken(begin, initapi.NewClient(m.config.Folder(name)), current, func() error { return m.runs(ctx, id) })
	if err != nil {
		return nil, err
	}
	fault.Point("sandbox.standby.woken")
	// The engine boots meanwhile. A name that stays as it was is no harm to the pod,
	// but it would be taken for a stray's after a restart.
	if err := m.host.Rename(ctx, id, name); err != nil {
		return nil, err
	}
	fault.Point("sandbox.standby.renamed")
	return m.connect(ctx, name, id, "")
}

// awaken has a standby start its engine, and tells it whether the images that it shares
// are still the host's. alive is asked while nothing answers. Any other sandbox is left as
// it is.
func awaken(ctx context.Context, init *initapi.Client, current bool, alive func() error) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := init.Start(ctx, current)
		if !errdefs.IsUnavailable(err) {
			return err
		}
		if err := alive(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not wait to be woken: %w", err)
		case <-tick.C:
		}
	}
}

// runs is nil if a container runs.
func (m *Maker) runs(ctx context.Context, id string) error {
	c, err := m.host.Inspect(ctx, id)
	if err == nil && c.State.Status != engine.StatusRunning {
		return fmt.Errorf("its container is %s: %w", c.State.Status, errdefs.ErrFailedPrecondition)
	}
	return err
}

// StandsBy says whether a container of an earlier run is a standby that waits to be
// woken.
func (m *Maker) StandsBy(ctx context.Context, c engine.Container) bool {
	name := c.Labels[engine.LabelSandbox]
	if c.Name != StandbyName(name) || !IsName(name) || c.State.Status != engine.StatusRunning {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, wakeLimit)
	defer cancel()
	// One that was woken by a docker-sd which then ended is none any more.
	state, err := initapi.NewClient(m.config.Folder(name)).Status(ctx)
	return err == nil && state.Standby
}
