package sandbox

import (
	"context"
	"errors"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// A holder is a container that does nothing but hold a network: that of the sandbox
// whose name it bears, which is started in it later. It lives as long as its sandbox.
//
// It is made in quiet time. Of the processor time that the host's engine takes for a
// boot, three quarters are for the network: the engine runs its own program twice to
// make the namespace, and sets packet rules and its name server up in it.

// HolderGeneration is that of a sandbox without hardware, of which a holder has none.
func (c Config) HolderGeneration() string { return c.Generation(Hardware{}) }

// MakeHolder makes a sandbox's network and the container that holds it, whose id it
// returns.
func (m *Maker) MakeHolder(caller context.Context, name string) (id string, err error) {
	ctx, cancel := linger(caller)
	defer cancel()
	labels := m.config.labels(name, m.config.HolderGeneration())
	subnet, err := m.networks.reserve(name)
	if err != nil {
		return "", err
	}
	if err := m.networks.create(ctx, name, subnet, labels); err != nil {
		return "", err
	}
	labels[engine.LabelHolder] = ""
	id, err = m.config.create(caller, m.host.Create, m.config.holderSpec(name, labels))
	fault.Point("sandbox.holder.created")
	if err == nil && caller.Err() == nil {
		err = m.host.Start(ctx, id)
	}
	return id, errors.Join(err, caller.Err())
}

// Holds is nil if the holder in a container has a network to share. One that does not
// run has none, and is ErrFailedPrecondition; one that is gone is ErrNotFound.
func (m *Maker) Holds(ctx context.Context, id string) error {
	_, err := m.held(ctx, id)
	return err
}
