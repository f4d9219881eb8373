package pool_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// holders are the names of the containers that hold a network.
func holders(host *fakeHost) (out []string) {
	for _, name := range host.names() {
		if strings.HasSuffix(name, "_network") {
			out = append(out, name)
		}
	}
	return out
}

func holderOf(sandbox string) string { return strings.TrimSuffix(sandbox, "_dind") + "_network" }

func wantHolders(t *testing.T, p *pool.Pool, host *fakeHost, want int) {
	t.Helper()
	if got, listed := p.Stats().Holders, len(holders(host)); got != want || listed != want {
		t.Errorf("%d networks are held, by %d containers, want %d", got, listed, want)
	}
}

func wantNothing(t *testing.T, host *fakeHost, config pool.Config) {
	t.Helper()
	if names, networks, files := host.names(), host.networkNames(), folders(t, config); len(names)+len(networks)+files > 0 {
		t.Errorf("left are %v, %v and %d folders", names, networks, files)
	}
}

// withHolders runs a test with an empty pool that makes two networks ahead.
func withHolders(t *testing.T, test func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool)) {
	t.Helper()
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Holders = 0, 2
		p := pool.New(config, host)
		run(t, p)
		wantHolders(t, p, host, 2)
		test(t, host, config, p)
	})
}

// heldSandbox takes one that is in a network that was made ahead; there is no other.
func heldSandbox(t *testing.T, host *fakeHost, p *pool.Pool) (s *pool.Sandbox, holder string) {
	t.Helper()
	host.faults(failing("CreateNetwork", errors.New("no network is made now")))
	c := p.Reserve(nil)
	s = claim(t, c)
	host.faults(nil)
	c.Settled()
	if holder = host.idOf(holderOf(s.Name)); holder == "" {
		t.Fatalf("nothing holds the network of %s: %v", s.Name, host.names())
	}
	return s, holder
}

// TestHolderIsUsed: a boot starts in a network that is there, whose address is the
// sandbox's, and another is made; both containers go with the sandbox.
func TestHolderIsUsed(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		before := holders(host)
		s, holder := heldSandbox(t, host, p)
		wantSame(t, "network of the sandbox", host.containers[s.ID].spec.Network, "container:"+holder)
		wantSame(t, "address", s.IP, host.containers[holder].IPs[pool.NetworkName(s.Name)])
		if s.IP == "" {
			t.Error("the sandbox has no address")
		}
		if !slices.Contains(before, holderOf(s.Name)) {
			t.Errorf("%s is none of the holders of before: %v", holderOf(s.Name), before)
		}
		advance(2 * time.Minute)
		wantSame(t, "networks that are held", len(holders(host)), 3)
		wantSame(t, "networks that wait", p.Stats().Holders, 2)
		if err := p.Destroy(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
		wantHolders(t, p, host, 2)
		wantSame(t, "networks", len(host.networkNames()), 2)
		wantSame(t, "folders", folders(t, config), 0)
	})
}

// TestHolderHasNoRights: nothing in a holder can do anything.
func TestHolderHasNoRights(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Holders, config.Privileged = 0, 1, true
		config.Resources.CgroupParent = "/sandboxes"
		run(t, pool.New(config, host))
		spec := host.containers[host.idOf(holders(host)[0])].spec
		if spec.Privileged || len(spec.CapAdd) > 0 || !spec.ReadonlyRootfs || spec.User == "" || spec.Resources.PidsLimit == 0 || spec.Resources.MemoryBytes == 0 {
			t.Errorf("a holder is made with %+v", spec)
		}
		wantSame(t, "dropped capabilities", spec.CapDrop, []string{"ALL"})
		wantSame(t, "control group", spec.Resources.CgroupParent, "/sandboxes")
		wantSame(t, "security options", spec.SecurityOpt, []string{"no-new-privileges"})
	})
}

// TestHoldersComeLast: nothing is made ahead while a pod waits, nor before what saves
// more.
func TestHoldersComeLast(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Standby, config.Holders = 1, 1, 1
		var order []string
		host.faults(func(_ context.Context, call, name string) error {
			if call == "Create" {
				host.mu.Lock()
				defer host.mu.Unlock()
				order = append(order, name[strings.Index(name, "_"):])
			}
			return nil
		})
		p := pool.New(config, host)
		run(t, p)
		wantSame(t, "what was made", order, []string{"_dind", "_standby", "_network"})
	})
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		config.Size, config.Holders = 0, 1
		release := heldStarts(host)
		p := pool.New(config, host)
		waits := p.Reserve(nil)
		go func() {
			if s, err := waits.Sandbox(t.Context()); s == nil {
				t.Errorf("Sandbox(): %v", err)
			}
		}()
		synctest.Wait()
		run(t, p)
		wantSame(t, "holders while a pod waits", len(holders(host)), 0)
		close(release)
		advance(2 * time.Second)
		wantSame(t, "holders", len(holders(host)), 1)
	})
}

// TestPortsTakeNoHolder: ports are published by the container whose network it is.
func TestPortsTakeNoHolder(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		s := claim(t, p.Reserve([]engine.Port{{Container: 80, Host: 8080, Protocol: "tcp"}}))
		wantSame(t, "network", host.containers[s.ID].spec.Network, pool.NetworkName(s.Name))
		wantHolders(t, p, host, 2)
	})
}

// TestDeadHolderIsNotUsed: a boot makes a network of its own, and the sweep removes
// what is of no use.
func TestDeadHolderIsNotUsed(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		before := holders(host)
		for _, name := range before {
			host.kill(host.idOf(name))
		}
		s := claim(t, p.Reserve(nil))
		wantSame(t, "network", host.containers[s.ID].spec.Network, "none")
		advance(3 * time.Minute)
		wantHolders(t, p, host, 2)
		for _, name := range before {
			if host.idOf(name) != "" {
				t.Errorf("%s is still there", name)
			}
		}
	})
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		dead := holders(host)[0]
		host.kill(host.idOf(dead))
		advance(2 * time.Minute)
		wantHolders(t, p, host, 2)
		wantSame(t, "the dead one", host.idOf(dead), "")
	})
}

// TestUnguardedHolder: the guard is asked again when a sandbox is made.
func TestUnguardedHolder(t *testing.T) {
	bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
		open := errors.New("nothing keeps pods from this host")
		guards := &guard{}
		config.Size, config.Holders, config.Guard = 0, 1, guards
		p := pool.New(config, host)
		stop := run(t, p)
		wantHolders(t, p, host, 1)
		wantSame(t, "bridge", host.networks[host.networkNames()[0]].Bridge, "dsd-"+host.networkNames()[0][:8])
		stop()
		guards.err = open
		if s, err := p.Reserve(nil).Sandbox(t.Context()); !errors.Is(err, open) {
			t.Errorf("a sandbox without rules: %v, %v", s, err)
		}
		wantNothing(t, host, config)
	})
}

// TestFailedHolder leaves nothing and is tried again, not at once.
func TestFailedHolder(t *testing.T) {
	for _, call := range []string{"CreateNetwork", "Create", "Start"} {
		bubble(t, func(t *testing.T, host *fakeHost, config pool.Config) {
			config.Size, config.Holders = 0, 1
			host.faults(failing(call, errdefs.ErrUnknown))
			p := pool.New(config, host)
			run(t, p)
			wantHolders(t, p, host, 0)
			wantNothing(t, host, config)
			tried := len(host.creates())
			advance(10 * time.Second)
			wantSame(t, "tries", len(host.creates()), tried)
			host.faults(nil)
			advance(2 * time.Minute)
			wantHolders(t, p, host, 1)
		})
	}
}

// TestHolderDies: its sandbox has lost its network, and ends.
func TestHolderDies(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		s, holder := heldSandbox(t, host, p)
		host.faults(failing("Stop", errdefs.ErrUnavailable))
		host.kill(holder)
		advance(time.Second)
		if isClosed(s) {
			t.Fatal("the sandbox is called gone while its container runs")
		}
		host.faults(nil)
		advance(10 * time.Second)
		if !isClosed(s) || host.containers[s.ID].State.Alive() {
			t.Fatalf("the sandbox lives on without a network: %+v", host.containers[s.ID].State)
		}
		again, err := p.Adopt(t.Context(), s.Name)
		if err != nil || !again.Stopped || again.IP == "" || !host.containers[holder].State.Alive() {
			t.Fatalf("adopted %+v, %v", again, err)
		}
		advance(time.Minute)
		if isClosed(again) {
			t.Error("the sandbox ended again")
		}
	})
}

// TestHolderIsRemoved: without it the sandbox cannot be started again.
func TestHolderIsRemoved(t *testing.T) {
	withHolders(t, func(t *testing.T, host *fakeHost, config pool.Config, p *pool.Pool) {
		s, holder := heldSandbox(t, host, p)
		if err := host.Remove(t.Context(), holder); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		if _, err := p.Adopt(t.Context(), s.Name); !isClosed(s) || !errdefs.IsNotFound(err) {
			t.Errorf("Adopt(): %v, want that it is gone for good", err)
		}
		if err := p.Destroy(t.Context(), s.Name); err != nil {
			t.Error(err)
		}
		wantHolders(t, p, host, 2)
	})
}

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
				again, err := next.Adopt(t.Context(), s.Name)
				if err != nil || again.ID != s.ID || again.IP != s.IP || again.Stopped != (len(dies) > 0) {
					t.Fatalf("adopted %+v, %v", again, err)
				}
				wantSame(t, "holder", host.containers[holder].State.Status, engine.StatusRunning)
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
		if _, found := host.containers[holder]; found {
			t.Error("the holder is still there")
		}
		if _, err := os.Stat(s.PodDir()); err != nil {
			t.Errorf("the folder of an ended pod: %v", err)
		}
		wantHolders(t, p, host, 2)
	})
}

func isClosed(s *pool.Sandbox) bool {
	select {
	case <-s.Gone():
		return true
	default:
		return false
	}
}
