package sandbox_test

import (
	"net/netip"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
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
			madeIn: sandbox.NetworkName},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
				s := open(t, host, config).boot(t, sandbox.Spec{Ports: c.ports})
				wantSame(t, "network that it was made in", host.Containers[s.ID].Spec.Network, c.madeIn(s.Name))
				if s.IP == "" {
					t.Error("the sandbox has no address")
				}
			})
		})
	}
}

func TestNetworksOfOthersAreLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.Subnets = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/26")}
		for _, subnet := range []string{"10.9.0.0/28", "10.9.0.16/28", "10.9.0.48/28"} {
			if err := host.CreateNetwork(t.Context(), engine.NetworkSpec{Name: subnet, Subnet: subnet}); err != nil {
				t.Fatal(err)
			}
		}
		p := open(t, host, config)
		s := p.boot(t, sandbox.Spec{})
		wantSame(t, "subnet", host.Network(sandbox.NetworkName(s.Name)).Subnet, "10.9.0.32/28")
		failed := sandbox.NewName()
		if _, err := p.maker.Boot(t.Context(), sandbox.Spec{Name: failed}); !errdefs.IsPermissionDenied(err) {
			t.Errorf("a sandbox where others use every network = %v, want the engine's refusal", err)
		}
		if err := host.RemoveNetwork(t.Context(), "10.9.0.16/28"); err != nil {
			t.Fatal(err)
		}
		if err := p.remover.Destroy(t.Context(), failed); err != nil {
			t.Error(err)
		}
		s = p.boot(t, sandbox.Spec{})
		wantSame(t, "subnet", host.Network(sandbox.NetworkName(s.Name)).Subnet, "10.9.0.16/28")
	})
}

// TestNetworkOfAnEarlierRun: its range is not given to another sandbox.
func TestNetworkOfAnEarlierRun(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.Subnets = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/27")}
		first := open(t, host, config).boot(t, sandbox.Spec{})
		p := open(t, host, config)
		if err := p.networks.MarkUsed(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := p.boot(t, sandbox.Spec{})
		wantSame(t, "subnet of the second", host.Network(sandbox.NetworkName(second.Name)).Subnet, "10.9.0.16/28")
		p.wantBootFails(t, errdefs.ErrResourceExhausted)
		if err := p.remover.Remove(t.Context(), first.Name); err != nil {
			t.Fatal(err)
		}
		third := p.boot(t, sandbox.Spec{})
		wantSame(t, "subnet of the third", host.Network(sandbox.NetworkName(third.Name)).Subnet, "10.9.0.0/28")
		host.Faults(sandboxtest.Failing("ListNetworks", errdefs.ErrUnavailable))
		if err := p.networks.MarkUsed(t.Context()); !errdefs.IsUnavailable(err) {
			t.Errorf("MarkUsed() without the engine = %v", err)
		}
	})
}
