package pool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestBootWithoutNetwork: a sandbox that cannot be connected is none.
func TestBootWithoutNetwork(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 0
		p := pool.New(config, host)
		run(t, p)
		broken := errors.New("no more addresses")
		host.Faults(sandboxtest.Failing("Join", broken))
		if s, err := p.Reserve(nil).Sandbox(t.Context()); !errors.Is(err, broken) {
			t.Errorf("a sandbox without a network: %v, %v", s, err)
		}
		if names, networks := host.Names(), host.NetworkNames(); len(names)+len(networks) > 0 {
			t.Errorf("it left %v and %v", names, networks)
		}
	})
}

// TestStandbyOfOtherHardware: one that was being made when the hardware changed
// takes no place and leaves nothing.
func TestStandbyOfOtherHardware(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Standby = 0, 1
		release := heldStarts(host)
		p := pool.New(config, host)
		run(t, p)
		p.SetHardware(oneGPU)
		close(release)
		synctest.Wait()
		wantStandby(t, p, host, 1)
		wantSame(t, "containers", len(host.Names()), 1)
		wantHardware(t, host, host.Names()[0])
	})
}

// guard names bridges and lets sandboxes use them, or not.
type guard struct{ err error }

func (guard) Bridge(sandbox string) string                     { return "dsd-" + sandbox[:8] }
func (g guard) Guarded(_ context.Context, bridge string) error { return g.err }

// TestGuardedNetworks: a network has the guard's name for its bridge, and a sandbox
// whose network is not guarded is none.
func TestGuardedNetworks(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Guard = 0, guard{}
		p := pool.New(config, host)
		run(t, p)
		s := claim(t, p.Reserve(nil))
		wantSame(t, "bridge", host.Networks[sandbox.NetworkName(s.Name)].Bridge, "dsd-"+s.Name[:8])
	})
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		open := errors.New("nothing keeps pods from this host")
		config.Size, config.Guard = 0, guard{open}
		p := pool.New(config, host)
		run(t, p)
		if s, err := p.Reserve(nil).Sandbox(t.Context()); !errors.Is(err, open) {
			t.Errorf("a sandbox without rules: %v, %v", s, err)
		}
		if names, networks := host.Names(), host.NetworkNames(); len(names)+len(networks) > 0 {
			t.Errorf("it left %v and %v", names, networks)
		}
	})
}
