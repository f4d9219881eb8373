package pool_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// TestAdoptStartsTheHolder: after the end of all containers the network comes back
// before its sandbox; one that ran without its network is ended first.
func TestAdoptStartsTheHolder(t *testing.T) {
	for name, dies := range map[string][]string{"both": {"sandbox", "holder"}, "the sandbox": {"sandbox"}, "the holder": {"holder"}, "neither": nil} {
		t.Run(name, func(t *testing.T) {
			withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
				s, holder := heldSandbox(t, host, p)
				p.Close()
				for _, which := range dies {
					host.kill(map[string]string{"sandbox": s.ID, "holder": holder}[which])
				}
				if runs, err := p.Runs(t.Context(), s.Name); err != nil || runs == (len(dies) == 2 || name == "the sandbox") {
					t.Errorf("Runs() = %v, %v", runs, err)
				}
				next := pool.New(config, host)
				defer next.Close()
				calls := noted(host, "Start", "Stop")
				again, err := next.Adopt(t.Context(), s.Name)
				if err != nil || again.ID != s.ID || again.IP != s.IP || again.Stopped.IsZero() == (len(dies) > 0) {
					t.Fatalf("adopted %+v, %v", again, err)
				}
				wantSame(t, "holder", container(host, holder).State.Status, engine.StatusRunning)
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

// TestRestoreHolders: those that wait are used again, as are those of sandboxes; what
// is too many, dead, half-made or of other settings goes.
func TestRestoreHolders(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(host *fakeHost, config *pool.Config)
		want, fresh int
	}{
		"all":            {func(*fakeHost, *pool.Config) {}, 2, 2},
		"too many":       {func(_ *fakeHost, c *pool.Config) { c.Holders = 1 }, 1, 1},
		"none":           {func(_ *fakeHost, c *pool.Config) { c.Holders = 0 }, 0, 0},
		"other settings": {func(_ *fakeHost, c *pool.Config) { c.Image = "docker:29-dind" }, 0, 0},
		"one is dead":    {func(h *fakeHost, _ *pool.Config) { h.kill(h.idOf(holders(h)[0])) }, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
				config.Size, config.Holders = 0, 2
				run(t, pool.New(config, host))()
				wantSame(t, "made", len(holders(host)), 2)
				c.change(host, &config)
				p := restored(t, host, config)
				wantHolders(t, p, host, c.want)
				wantSame(t, "networks", len(host.networkNames()), c.want)
			})
		})
	}
}

// TestRestoreKeepsHeldSandboxes: warm ones and those of pods keep their holder.
func TestRestoreKeepsHeldSandboxes(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		s, _ := heldSandbox(t, host, p)
		p.Close()
		advance(time.Second)
		config.Size, config.Holders = 1, 0
		next := restored(t, host, config)
		wantSame(t, "warm", next.Stats().Warm, 1)
		wantSame(t, "containers", host.names(), []string{s.Name, holderOf(s.Name)})
		if got := next.Warm()[0]; got.IP != s.IP {
			t.Errorf("its address is %q, was %q", got.IP, s.IP)
		}
	})
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		s, _ := heldSandbox(t, host, p)
		if err := p.Assign(t.Context(), s, "pod"); err != nil {
			t.Fatal(err)
		}
		p.Close()
		advance(time.Second)
		config.Holders = 0
		next := restored(t, host, config, s.Name)
		wantSame(t, "containers", len(host.names()), 2)
		if again, err := next.Adopt(t.Context(), s.Name); err != nil || again.IP != s.IP {
			t.Errorf("adopted %+v, %v", again, err)
		}
		advance(10 * time.Minute)
		wantSame(t, "containers", len(host.names()), 2)
	})
}

// TestHeldSandboxIsRetired: its folder stays, its holder does not, and what could not
// be removed the sweep takes.
func TestHeldSandboxIsRetired(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		s, holder := heldSandbox(t, host, p)
		host.faults(func(_ context.Context, call, subject string) error {
			if call == "Remove" && subject == holder {
				return errdefs.ErrUnavailable
			}
			return nil
		})
		if err := p.Retire(t.Context(), s.Name); err == nil {
			t.Error("Retire() succeeded although the holder is there")
		}
		host.faults(nil)
		advance(3 * time.Minute)
		if slices.Contains(holders(host), holderOf(s.Name)) {
			t.Error("the holder is still there")
		}
		if _, err := os.Stat(s.PodDir()); err != nil {
			t.Errorf("the folder of an ended pod: %v", err)
		}
		wantHolders(t, p, host, 2)
	})
}

// TestRestoreLeavesUsedHolders: one that a sandbox is in is not ready for another, even
// if nobody knows that sandbox.
func TestRestoreLeavesUsedHolders(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		s, _ := heldSandbox(t, host, p)
		if err := p.Assign(t.Context(), s, "forgotten"); err != nil {
			t.Fatal(err)
		}
		p.Close()
		advance(time.Second)
		config.Holders = 3
		wantSame(t, "networks that wait", restored(t, host, config).Stats().Holders, 2)
		wantSame(t, "networks that are held", len(holders(host)), 3)
	})
}
