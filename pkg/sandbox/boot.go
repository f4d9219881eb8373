package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// Boot makes a sandbox and returns when its engine answers.
func (m *Maker) Boot(ctx context.Context, spec Spec) (*Sandbox, error) {
	id, err := m.make(ctx, spec, false)
	var s *Sandbox
	if err == nil {
		// The calls for its making have limits of their own.
		bounded, cancel := m.advancing(ctx, spec.Name)
		defer cancel()
		s, err = m.connect(bounded, spec.Name, id, spec.Holder)
		err = stuck(bounded, err)
	}
	if err != nil {
		return nil, fmt.Errorf("boot sandbox %s: %w", spec.Name, err)
	}
	fault.Point("sandbox.boot.ready")
	return s, nil
}

// make creates and starts the container. Its calls are not cancelled at once: an
// engine finishes what was asked of it, and what appears after the cleaning up
// would be left behind.
func (m *Maker) make(caller context.Context, s Spec, standby bool) (string, error) {
	ctx, cancel := linger(caller)
	defer cancel()
	if err := os.MkdirAll(podDir(m.config.Folder(s.Name)), 0o700); err != nil {
		return "", err
	}
	fault.Point("sandbox.boot.folder")
	config := m.config.of(s)
	labels := config.labels(s.Name, config.Generation(s.Hardware))
	spec := config.containerSpec(s, standby, labels)
	var network errgroup.Group
	if s.Holder != "" {
		spec.Network = networkOf(s.Holder)
		if err := m.networks.guarded(ctx, s.Name); err != nil {
			return "", err
		}
	} else {
		subnet, err := m.networks.reserve(s.Name)
		if err != nil {
			return "", err
		}
		network.Go(func() error { return m.networks.create(ctx, s.Name, subnet, labels) })
		if spec.Ports = s.Ports; len(s.Ports) == 0 {
			// It is connected later: its network is made while it is made and started.
			spec.Network = "none"
		} else if err := network.Wait(); err != nil {
			return "", err
		}
	}
	id, err := m.config.create(caller, m.host.Create, spec)
	fault.Point("sandbox.boot.created")
	if err == nil && caller.Err() == nil {
		err = m.host.Start(ctx, id)
		fault.Point("sandbox.boot.started")
	}
	err = errors.Join(err, network.Wait())
	if err == nil && standby {
		err = m.networks.join(ctx, s.Name, id)
	}
	return id, errors.Join(err, caller.Err())
}

// networkOf is the network of a container that shares a holder's.
func networkOf(holder string) string { return "container:" + holder }
