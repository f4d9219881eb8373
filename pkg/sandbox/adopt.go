package sandbox

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Adopt finds the named sandbox again after a restart of docker-sd. A stopped
// one is started: its pod's logs and exit codes are inside. ErrNotFound says
// that it is gone for good.
func (m *Maker) Adopt(ctx context.Context, name string) (*Sandbox, error) {
	found, err := containers(ctx, m.config, m.host.List, name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("sandbox %s: %w", name, errdefs.ErrNotFound)
	}
	if err := m.startAgain(ctx, found[0]); err != nil {
		return nil, fmt.Errorf("start sandbox %s again: %w", name, err)
	}
	fault.Point("sandbox.adopt.started")
	ctx, cancel := m.adopting(ctx, found[0])
	defer cancel()
	// One that was a standby waits to be woken whenever its container is started.
	err = awaken(ctx, initapi.NewClient(m.config.Folder(name)), true, func() error { return m.runs(ctx, found[0].ID) })
	if err = stuck(ctx, err); err != nil {
		return nil, fmt.Errorf("adopt sandbox %s: %w", name, err)
	}
	s, err := m.connect(ctx, name, found[0].ID, found[0].NetworkOf)
	if err = stuck(ctx, err); err != nil {
		return nil, fmt.Errorf("adopt sandbox %s: %w", name, err)
	}
	return s, nil
}

// adopting bounds the time until the engine of a sandbox answers. The containers of a pod
// that run in there need the processor too, and say nothing of its engine.
func (m *Maker) adopting(ctx context.Context, c engine.Container) (context.Context, context.CancelFunc) {
	if c.State.Status == engine.StatusRunning {
		return context.WithTimeout(ctx, m.config.BootTimeout)
	}
	return m.advancing(ctx, c.Labels[engine.LabelSandbox])
}

// startAgain starts a sandbox again, and before that the holder of its network. A
// sandbox that lost its network while it ran is ended first: a running container gets
// no other.
func (m *Maker) startAgain(ctx context.Context, c engine.Container) error {
	if c.State.Status != engine.StatusRunning {
		// It may have stopped because the engine ends all containers.
		if err := m.host.Accepts(ctx); err != nil {
			return err
		}
	}
	if c.NetworkOf != "" {
		err := m.Holds(ctx, c.NetworkOf)
		if errdefs.IsFailedPrecondition(err) {
			err = m.startHolder(ctx, c)
		}
		if err != nil {
			return fmt.Errorf("have its network back: %w", err)
		}
	}
	return m.host.Start(ctx, c.ID)
}

// startHolder starts the holder of a sandbox's network, after the end of what still
// runs without it.
func (m *Maker) startHolder(ctx context.Context, c engine.Container) error {
	if c.State.Alive() {
		if err := m.host.Stop(ctx, c.ID, 0); err != nil {
			return err
		}
	}
	if err := m.host.Accepts(ctx); err != nil {
		return err
	}
	err := m.host.Start(ctx, c.NetworkOf)
	fault.Point("sandbox.adopt.held")
	return err
}

// Assign gives a sandbox's container its pod's name (protocol 8.1), for people
// who look at the host engine. A sandbox that has it already keeps it.
func (m *Maker) Assign(ctx context.Context, s *Sandbox, podUID string) error {
	if s.hostName == AssignedName(podUID) {
		return nil
	}
	return m.host.Rename(ctx, s.ID, AssignedName(podUID))
}
