package pool_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// TestNetworkComesWithTheBoot: a sandbox starts without a network and gets it while
// its engine boots, unless it publishes ports, which have to be there before.
func TestNetworkComesWithTheBoot(t *testing.T) {
	for name, c := range map[string]struct {
		ports  []engine.Port
		madeIn func(sandbox string) string
	}{
		"no ports": {madeIn: func(string) string { return "none" }},
		"ports": {ports: []engine.Port{{Container: 80, Host: 8080, Protocol: "tcp"}},
			madeIn: pool.NetworkName},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
				config.Size = 0
				p := pool.New(config, host)
				run(t, p)
				s := claim(t, p.Reserve(c.ports))
				wantSame(t, "network that it was made in", host.containers[s.ID].spec.Network, c.madeIn(s.Name))
				if s.IP == "" {
					t.Error("the sandbox has no address")
				}
			})
		})
	}
}

// TestBootWithoutNetwork: a sandbox that cannot be connected is none.
func TestBootWithoutNetwork(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size = 0
		p := pool.New(config, host)
		run(t, p)
		broken := errors.New("no more addresses")
		host.faults(failing("Join", broken))
		if s, err := p.Reserve(nil).Sandbox(t.Context()); !errors.Is(err, broken) {
			t.Errorf("a sandbox without a network: %v, %v", s, err)
		}
		if names, networks := host.names(), host.networkNames(); len(names)+len(networks) > 0 {
			t.Errorf("it left %v and %v", names, networks)
		}
	})
}

// TestAdoptConnects: a crash may have come between a sandbox's start and its
// network.
func TestAdoptConnects(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		name := fill(t, host, config)[0]
		host.mu.Lock()
		for _, c := range host.containers {
			c.IPs = map[string]string{"none": ""}
		}
		host.mu.Unlock()
		p := restoredKeeping(t, host, config, map[string]bool{name: true})
		s, err := p.Adopt(t.Context(), name)
		if err != nil || s.IP == "" {
			t.Errorf("adopted %v, %v", s, err)
		}
	})
}

// TestStandbyOfOtherHardware: one that was being made when the hardware changed
// takes no place and leaves nothing.
func TestStandbyOfOtherHardware(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Standby = 0, 1
		release := heldStarts(host)
		p := pool.New(config, host)
		run(t, p)
		p.SetHardware(oneGPU)
		close(release)
		synctest.Wait()
		wantStandby(t, p, host, 1)
		wantSame(t, "containers", len(host.names()), 1)
		wantHardware(t, host, host.names()[0])
	})
}

// guard names bridges and lets sandboxes use them, or not.
type guard struct{ err error }

func (guard) Bridge(sandbox string) string                     { return "dsd-" + sandbox[:8] }
func (g guard) Guarded(_ context.Context, bridge string) error { return g.err }

// TestGuardedNetworks: a network has the guard's name for its bridge, and a sandbox
// whose network is not guarded is none.
func TestGuardedNetworks(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Guard = 0, guard{}
		p := pool.New(config, host)
		run(t, p)
		s := claim(t, p.Reserve(nil))
		wantSame(t, "bridge", host.networks[pool.NetworkName(s.Name)].Bridge, "dsd-"+s.Name[:8])
	})
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		open := errors.New("nothing keeps pods from this host")
		config.Size, config.Guard = 0, guard{open}
		p := pool.New(config, host)
		run(t, p)
		if s, err := p.Reserve(nil).Sandbox(t.Context()); !errors.Is(err, open) {
			t.Errorf("a sandbox without rules: %v, %v", s, err)
		}
		if names, networks := host.names(), host.networkNames(); len(names)+len(networks) > 0 {
			t.Errorf("it left %v and %v", names, networks)
		}
	})
}

func (h *fakeHost) Stop(ctx context.Context, id string, _ time.Duration) error {
	if err := h.enter(ctx, "Stop", id); err != nil {
		return err
	}
	h.mu.Lock()
	_, found := h.containers[id]
	h.mu.Unlock()
	if found {
		h.kill(id)
	}
	return nil
}

// address of a container in its network.
func address(id string) string { return "10.0.0." + strings.TrimPrefix(id, "container-") }

// isRunning says whether a container runs.
func (h *fakeHost) isRunning(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.containers[id].State.Status == engine.StatusRunning
}
