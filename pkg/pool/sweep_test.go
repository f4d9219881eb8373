package pool_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestSweepReleases: what Release could not remove goes with the next sweep, and the
// folder stays.
func TestSweepReleases(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 0
		p := pool.New(config, host)
		run(t, p)
		s := claim(t, p.Reserve(nil))
		host.Faults(sandboxtest.Failing("Remove", errdefs.ErrUnavailable))
		if err := p.Release(t.Context(), s.Name); err == nil {
			t.Fatal("Release() of a container that cannot be removed succeeded")
		}
		host.Faults(nil)
		advance(2 * time.Minute)
		wantSame(t, "containers", host.Names(), []string(nil))
		wantSame(t, "networks", host.NetworkNames(), []string(nil))
		if _, err := os.Stat(s.PodDir()); err != nil {
			t.Errorf("the folder of an ended pod: %v", err)
		}
	})
}

func TestSweep(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		p := pool.New(config, host)
		run(t, p)
		claimed := claim(t, p.Reserve(nil))
		synctest.Wait()
		labels := func(name string) map[string]string {
			out := maps.Clone(host.Containers[claimed.ID].Labels)
			out[engine.LabelSandbox] = name
			return out
		}
		stray, network := uuid.NewString()+"_dind", uuid.NewString()+"_dind"
		if _, err := host.Create(t.Context(), engine.Spec{Name: stray, Labels: labels(stray)}); err != nil {
			t.Fatal(err)
		}
		if err := host.CreateNetwork(t.Context(), engine.NetworkSpec{Name: sandbox.NetworkName(network), Labels: labels(network)}); err != nil {
			t.Fatal(err)
		}
		advance(config.StrayGrace - time.Minute)
		if host.IDOf(stray) == "" || len(host.NetworkNames()) != 3 {
			t.Error("a young stray was removed; its owner may be about to claim it")
		}
		advance(2 * time.Minute)
		wantSame(t, "stray", host.IDOf(stray), "")
		wantSame(t, "networks", len(host.NetworkNames()), 2)
		advance(time.Hour)
		if host.IDOf(claimed.Name) == "" {
			t.Error("a claimed sandbox was swept away")
		}
		wantStats(t, p, 1, 0, 0)
	})
}

// TestSweepGoesByWhatItSaw: a stray whose time stamp is long past, after the
// clock was set or the engine's differs, gets its grace period all the same.
func TestSweepGoesByWhatItSaw(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 0
		for name, age := range map[string]time.Duration{"long ago": time.Hour, "to come": -time.Hour} {
			p := pool.New(config, host)
			stop := run(t, p)
			stray := uuid.NewString() + "_dind"
			id, err := host.Create(t.Context(), engine.Spec{Name: stray, Labels: map[string]string{
				engine.LabelInstance: "test", engine.LabelSandbox: stray, engine.LabelFolder: config.Dir}})
			if err != nil {
				t.Fatal(err)
			}
			host.Mu.Lock()
			host.Containers[id].Created = time.Now().Add(-age)
			host.Mu.Unlock()
			advance(config.StrayGrace - time.Minute)
			if host.IDOf(stray) == "" {
				t.Errorf("a stray made %s was removed before its grace period was over", name)
			}
			advance(3 * time.Minute)
			if host.IDOf(stray) != "" {
				t.Errorf("a stray made %s is still there", name)
			}
			stop()
		}
	})
}

// restart is run for a pool that takes over what is there.
func restart(t *testing.T, p *pool.Pool) (stop func()) {
	t.Helper()
	p.Keep(nil)
	if err := p.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	return run(t, p)
}

func TestStrayDryRun(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		warm := fill(t, host, config)
		// Of other settings, so that it cannot rejoin.
		config.Image, config.Size, config.StrayDryRun = "docker:30-dind", 0, true
		if err := os.MkdirAll(filepath.Join(config.Dir, "0123456789abcdef"), 0o700); err != nil {
			t.Fatal(err)
		}
		stop := restart(t, pool.New(config, host))
		advance(2 * config.StrayGrace)
		stop()
		wantSame(t, "containers of a dry run", host.Names(), warm)
		wantSame(t, "networks of a dry run", host.NetworkNames(), []string{sandbox.NetworkName(warm[0])})
		wantSame(t, "folders of a dry run", folders(t, config), 2)
		config.StrayDryRun = false
		restart(t, pool.New(config, host))()
		wantSame(t, "containers", host.Names(), []string(nil))
		wantSame(t, "folders", folders(t, config), 0)
	})
}

func TestSweepLeavesWhatIsNoSandbox(t *testing.T) {
	for name, label := range map[string]string{"empty label": "", "path": "../../elsewhere", "parent": ".."} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				config.Size = 1
				removed := map[string]bool{}
				config.RemoveFolder = func(_ context.Context, path string) error { removed[path] = true; return nil }
				p := pool.New(config, host)
				run(t, p)
				if _, err := host.Create(t.Context(), engine.Spec{Name: "odd", Labels: map[string]string{
					engine.LabelInstance: "test", engine.LabelSandbox: label, engine.LabelFolder: config.Dir}}); err != nil {
					t.Fatal(err)
				}
				advance(time.Hour)
				if len(removed) > 0 {
					t.Errorf("folders %v were removed for the sandbox label %q", removed, label)
				}
			})
		})
	}
}

// TestSweepRemovesLeftovers: what Destroy could not remove was decided on, so the next
// sweep removes it without grace, also in a dry run.
func TestSweepRemovesLeftovers(t *testing.T) {
	for _, dry := range []bool{false, true} {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			config.Size, config.StrayDryRun = 0, dry
			var free atomic.Bool
			remove := config.RemoveFolder
			config.RemoveFolder = func(ctx context.Context, path string) error {
				if !free.Load() {
					return errdefs.ErrUnavailable
				}
				return remove(ctx, path)
			}
			p := pool.New(config, host)
			run(t, p)
			s := claim(t, p.Reserve(nil))
			if err := p.Destroy(t.Context(), s.Name); !errdefs.IsUnavailable(err) || p.Knows(s.Name) {
				t.Errorf("Destroy() = %v, it has an owner: %t", err, p.Knows(s.Name))
			}
			advance(2 * time.Minute)
			wantSame(t, "folders while they cannot be removed", folders(t, config), 1)
			free.Store(true)
			advance(time.Minute)
			wantSame(t, "folders", folders(t, config), 0)
		})
	}
}

// events counts what an observer is told.
type events map[string]int

func (e events) Sandbox(event, _ string) { e[event]++ }
func (events) Step(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// TestStubbornStray: one that cannot be removed at first is told of once, and goes.
func TestStubbornStray(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		told := events{}
		config.Size, config.Observer = 0, told
		run(t, pool.New(config, host))
		stray := uuid.NewString() + "_dind"
		if _, err := host.Create(t.Context(), engine.Spec{Name: stray, Labels: map[string]string{
			engine.LabelInstance: "test", engine.LabelSandbox: stray, engine.LabelFolder: config.Dir}}); err != nil {
			t.Fatal(err)
		}
		host.Faults(sandboxtest.Failing("Remove", errdefs.ErrUnavailable))
		advance(config.StrayGrace + 5*time.Minute)
		wantSame(t, "containers while it cannot be removed", host.Names(), []string{stray})
		host.Faults(nil)
		advance(time.Minute)
		wantSame(t, "containers", host.Names(), []string(nil))
		wantSame(t, "times told", told[pool.EventSwept], 1)
	})
}
