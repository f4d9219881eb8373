package sandbox_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// withHolder runs a test with a sandbox in a network that was made ahead.
func withHolder(t *testing.T, test func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config, p parts, s *sandbox.Sandbox, holder string)) {
	t.Helper()
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p, name := open(t, host, config), sandbox.NewName()
		holder, err := p.maker.MakeHolder(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		test(t, host, config, p, p.boot(t, sandbox.Spec{Name: name, Holder: holder}), holder)
	})
}

// noted are the calls of some kinds from now on, with their subjects.
func noted(host *sandboxtest.Fake, kinds ...string) *[]string {
	var calls []string
	host.Faults(func(_ context.Context, call, subject string) error {
		if slices.Contains(kinds, call) {
			host.Mu.Lock()
			defer host.Mu.Unlock()
			calls = append(calls, call+" "+subject)
		}
		return nil
	})
	return &calls
}

// TestSandboxInAHoldersNetwork: its address is the network's, and both go together.
func TestSandboxInAHoldersNetwork(t *testing.T) {
	withHolder(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config, p parts, s *sandbox.Sandbox, holder string) {
		wantSame(t, "network of the sandbox", host.Containers[s.ID].Spec.Network, "container:"+holder)
		wantSame(t, "address", s.IP, host.Containers[holder].IPs[sandbox.NetworkName(s.Name)])
		if err := p.maker.Holds(t.Context(), holder); s.IP == "" || err != nil {
			t.Errorf("its address is %q, Holds() = %v", s.IP, err)
		}
		calls := noted(host, "Remove", "RemoveNetwork")
		if err := p.remover.Destroy(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "calls", *calls, []string{"Remove " + s.ID, "Remove " + holder, "RemoveNetwork " + sandbox.NetworkName(s.Name)})
		wantNothing(t, host, config)
		if err := p.maker.Holds(t.Context(), holder); !errdefs.IsNotFound(err) {
			t.Errorf("Holds() of one that is gone = %v", err)
		}
	})
}

// TestHolderHasNoRights: nothing in a holder can do anything.
func TestHolderHasNoRights(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.Privileged = true
		config.Resources.CgroupParent = "/sandboxes"
		if _, err := open(t, host, config).maker.MakeHolder(t.Context(), sandbox.NewName()); err != nil {
			t.Fatal(err)
		}
		spec := host.Only(t).Spec
		if spec.Privileged || len(spec.CapAdd) > 0 || !spec.ReadonlyRootfs || spec.User == "" || spec.Resources.PidsLimit == 0 || spec.Resources.MemoryBytes == 0 {
			t.Errorf("a holder is made with %+v", spec)
		}
		wantSame(t, "dropped capabilities", spec.CapDrop, []string{"ALL"})
		wantSame(t, "control group", spec.Resources.CgroupParent, "/sandboxes")
		wantSame(t, "security options", spec.SecurityOpt, []string{"no-new-privileges"})
	})
}

// TestFailedHolder leaves nothing that Destroy does not remove.
func TestFailedHolder(t *testing.T) {
	broken := errors.New("no space left on device")
	for _, call := range []string{"CreateNetwork", "Create", "Start"} {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
			p, name := open(t, host, config), sandbox.NewName()
			host.Faults(sandboxtest.Failing(call, broken))
			if _, err := p.maker.MakeHolder(t.Context(), name); !errors.Is(err, broken) {
				t.Errorf("%s fails: MakeHolder() = %v", call, err)
			}
			host.Faults(nil)
			if err := p.remover.Destroy(t.Context(), name); err != nil {
				t.Error(err)
			}
			wantNothing(t, host, config)
		})
	}
}

// TestHolderDies: its sandbox has lost its network, and ends.
func TestHolderDies(t *testing.T) {
	withHolder(t, func(t *testing.T, host *sandboxtest.Fake, _ sandbox.Config, p parts, s *sandbox.Sandbox, holder string) {
		host.Faults(sandboxtest.Failing("Stop", errdefs.ErrUnavailable))
		host.Kill(holder)
		advance(time.Second)
		if isGone(s) {
			t.Fatal("the sandbox is called gone while its container runs")
		}
		host.Faults(nil)
		advance(10 * time.Second)
		if !isGone(s) || host.IsRunning(s.ID) {
			t.Fatal("the sandbox lives on without a network")
		}
		again, err := p.maker.Adopt(t.Context(), s.Name)
		if err != nil || again.Stopped.IsZero() || again.IP == "" || !host.IsRunning(holder) {
			t.Fatalf("adopted %+v, %v", again, err)
		}
		advance(time.Minute)
		if isGone(again) {
			t.Error("the sandbox ended again")
		}
	})
}

// TestAdoptStartsTheHolder: after the end of all containers the network comes back
// before its sandbox; one that ran without its network is ended first.
func TestAdoptStartsTheHolder(t *testing.T) {
	for name, dies := range map[string][]string{"both": {"sandbox", "holder"}, "the sandbox": {"sandbox"}, "the holder": {"holder"}, "neither": nil} {
		t.Run(name, func(t *testing.T) {
			withHolder(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config, p parts, s *sandbox.Sandbox, holder string) {
				p.maker.Close()
				for _, which := range dies {
					host.Kill(map[string]string{"sandbox": s.ID, "holder": holder}[which])
				}
				if runs, err := p.finder.Runs(t.Context(), s.Name); err != nil || runs == (len(dies) == 2 || name == "the sandbox") {
					t.Errorf("Runs() = %v, %v", runs, err)
				}
				calls := noted(host, "Start", "Stop")
				again, err := open(t, host, config).maker.Adopt(t.Context(), s.Name)
				if err != nil || again.ID != s.ID || again.IP != s.IP || again.Stopped.IsZero() == (len(dies) > 0) {
					t.Fatalf("adopted %+v, %v", again, err)
				}
				wantSame(t, "holder", host.Containers[holder].State.Status, engine.StatusRunning)
				var want []string
				if name == "the holder" { // in the network of before there is nothing any more
					want = append(want, "Stop "+s.ID)
				}
				if slices.Contains(dies, "holder") {
					want = append(want, "Start "+holder)
				}
				wantSame(t, "calls", *calls, append(want, "Start "+s.ID))
			})
		})
	}
}

// TestHolderThatDoesNotStart: the sandbox is not started without its network.
func TestHolderThatDoesNotStart(t *testing.T) {
	for _, call := range []string{"Stop", "Accepts", "Start"} {
		withHolder(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config, p parts, s *sandbox.Sandbox, holder string) {
			p.maker.Close()
			host.Kill(holder)
			host.Faults(sandboxtest.Failing(call, errdefs.ErrUnavailable))
			if _, err := open(t, host, config).maker.Adopt(t.Context(), s.Name); !errdefs.IsUnavailable(err) || host.IsRunning(holder) {
				t.Errorf("%s fails: Adopt() = %v", call, err)
			}
		})
	}
}
