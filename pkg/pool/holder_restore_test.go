package pool_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestRestoreHolders: those that wait are used again, as are those of sandboxes; what
// is too many, dead, half-made or of other settings goes.
func TestRestoreHolders(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(host *sandboxtest.Fake, config *pool.Config)
		want, fresh int
	}{
		"all":            {func(*sandboxtest.Fake, *pool.Config) {}, 2, 2},
		"too many":       {func(_ *sandboxtest.Fake, c *pool.Config) { c.Holders = 1 }, 1, 1},
		"none":           {func(_ *sandboxtest.Fake, c *pool.Config) { c.Holders = 0 }, 0, 0},
		"other settings": {func(_ *sandboxtest.Fake, c *pool.Config) { c.Image = "docker:29-dind" }, 0, 0},
		"one is dead":    {func(h *sandboxtest.Fake, _ *pool.Config) { h.Kill(h.IDOf(holders(h)[0])) }, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				config.Size, config.Holders = 0, 2
				run(t, pool.New(config, host))()
				wantSame(t, "made", len(holders(host)), 2)
				c.change(host, &config)
				p := restored(t, host, config)
				wantHolders(t, p, host, c.want)
				wantSame(t, "networks", len(host.NetworkNames()), c.want)
			})
		})
	}
}

// TestRestoreKeepsHeldSandboxes: warm ones and those of pods keep their holder.
func TestRestoreKeepsHeldSandboxes(t *testing.T) {
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		s, _ := heldSandbox(t, host, p)
		p.Close()
		advance(time.Second)
		config.Size, config.Holders = 1, 0
		next := restored(t, host, config)
		wantSame(t, "warm", next.Stats().Warm, 1)
		wantSame(t, "containers", host.Names(), []string{s.Name, holderOf(s.Name)})
		if got := next.Warm()[0]; got.IP != s.IP {
			t.Errorf("its address is %q, was %q", got.IP, s.IP)
		}
	})
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		s, _ := heldSandbox(t, host, p)
		if err := p.Assign(t.Context(), s, "pod"); err != nil {
			t.Fatal(err)
		}
		p.Close()
		advance(time.Second)
		config.Holders = 0
		next := restored(t, host, config, s.Name)
		wantSame(t, "containers", len(host.Names()), 2)
		if again, err := next.Adopt(t.Context(), s.Name); err != nil || again.IP != s.IP {
			t.Errorf("adopted %+v, %v", again, err)
		}
		advance(10 * time.Minute)
		wantSame(t, "containers", len(host.Names()), 2)
	})
}

// TestHeldSandboxIsReleased: its folder stays, its holder does not, and what could not
// be removed the sweep takes.
func TestHeldSandboxIsReleased(t *testing.T) {
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		s, holder := heldSandbox(t, host, p)
		host.Faults(func(_ context.Context, call, subject string) error {
			if call == "Remove" && subject == holder {
				return errdefs.ErrUnavailable
			}
			return nil
		})
		if err := p.Release(t.Context(), s.Name); err == nil {
			t.Error("Release() succeeded although the holder is there")
		}
		host.Faults(nil)
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
// if that sandbox has no owner.
func TestRestoreLeavesUsedHolders(t *testing.T) {
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
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
