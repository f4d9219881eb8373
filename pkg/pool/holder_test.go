package pool_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// holders are the names of the containers that hold a network.
func holders(host *sandboxtest.Fake) (out []string) {
	for _, name := range host.Names() {
		if strings.HasSuffix(name, "_network") {
			out = append(out, name)
		}
	}
	return out
}

// container is a moment's view of one.
func container(host *sandboxtest.Fake, id string) sandboxtest.FakeContainer {
	host.Mu.Lock()
	defer host.Mu.Unlock()
	return *host.Containers[id]
}

func holderOf(sandbox string) string { return strings.TrimSuffix(sandbox, "_dind") + "_network" }

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

func wantHolders(t *testing.T, p *pool.Pool, host *sandboxtest.Fake, want int) {
	t.Helper()
	if got, listed := p.Stats().Holders, len(holders(host)); got != want || listed != want {
		t.Errorf("%d networks are held, by %d containers, want %d", got, listed, want)
	}
}

func wantNothing(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
	t.Helper()
	if names, networks, files := host.Names(), host.NetworkNames(), folders(t, config); len(names)+len(networks)+files > 0 {
		t.Errorf("left are %v, %v and %d folders", names, networks, files)
	}
}

// withHolders runs a test with an empty pool that makes two networks ahead.
func withHolders(t *testing.T, test func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool)) {
	t.Helper()
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Holders = 0, 2
		p := pool.New(config, host)
		run(t, p)
		wantHolders(t, p, host, 2)
		test(t, host, config, p)
	})
}

// heldSandbox takes one that is in a network that was made ahead; there is no other.
func heldSandbox(t *testing.T, host *sandboxtest.Fake, p *pool.Pool) (s *sandbox.Sandbox, holder string) {
	t.Helper()
	host.Faults(sandboxtest.Failing("CreateNetwork", errors.New("no network is made now")))
	c := p.Reserve(nil)
	s = claim(t, c)
	host.Faults(nil)
	c.Settled()
	synctest.Wait() // until another is made in its place
	if holder = host.IDOf(holderOf(s.Name)); holder == "" {
		t.Fatalf("nothing holds the network of %s: %v", s.Name, host.Names())
	}
	return s, holder
}

// TestHolderIsUsed: a boot starts in a network that is there, whose address is the
// sandbox's, and another is made; both containers go with the sandbox.
func TestHolderIsUsed(t *testing.T) {
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		before := holders(host)
		s, holder := heldSandbox(t, host, p)
		wantSame(t, "network of the sandbox", container(host, s.ID).Spec.Network, "container:"+holder)
		wantSame(t, "address", s.IP, container(host, holder).IPs[sandbox.NetworkName(s.Name)])
		if s.IP == "" {
			t.Error("the sandbox has no address")
		}
		if !slices.Contains(before, holderOf(s.Name)) {
			t.Errorf("%s is none of the holders of before: %v", holderOf(s.Name), before)
		}
		advance(2 * time.Minute)
		wantSame(t, "networks that are held", len(holders(host)), 3)
		wantSame(t, "networks that wait", p.Stats().Holders, 2)
		calls := noted(host, "Remove", "RemoveNetwork")
		if err := p.Destroy(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "calls", *calls, []string{"Remove " + s.ID, "Remove " + holder, "RemoveNetwork " + sandbox.NetworkName(s.Name)})
		wantHolders(t, p, host, 2)
		wantSame(t, "networks", len(host.NetworkNames()), 2)
		wantSame(t, "folders", folders(t, config), 0)
	})
}

// TestHoldersComeLast: nothing is made ahead while a pod waits, nor before what saves
// more.
func TestHoldersComeLast(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Standby, config.Holders = 1, 1, 1
		calls := noted(host, "Create")
		run(t, pool.New(config, host))
		var order []string
		for _, call := range *calls {
			order = append(order, call[strings.Index(call, "_"):])
		}
		wantSame(t, "what was made", order, []string{"_dind", "_standby", "_network"})
	})
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
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
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		s := claim(t, p.Reserve([]engine.Port{{Container: 80, Host: 8080, Protocol: "tcp"}}))
		wantSame(t, "network", container(host, s.ID).Spec.Network, sandbox.NetworkName(s.Name))
		wantHolders(t, p, host, 2)
	})
}

// TestDeadHolderIsNotUsed: a boot makes a network of its own, and the sweep removes
// what is of no use.
func TestDeadHolderIsNotUsed(t *testing.T) {
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		before := holders(host)
		for _, name := range before {
			host.Kill(host.IDOf(name))
		}
		s := claim(t, p.Reserve(nil))
		wantSame(t, "network", container(host, s.ID).Spec.Network, "none")
		advance(3 * time.Minute)
		wantHolders(t, p, host, 2)
		for _, name := range before {
			if host.IDOf(name) != "" {
				t.Errorf("%s is still there", name)
			}
		}
	})
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		dead := holders(host)[0]
		host.Kill(host.IDOf(dead))
		advance(2 * time.Minute)
		wantHolders(t, p, host, 2)
		wantSame(t, "the dead one", host.IDOf(dead), "")
	})
}

// TestUnknownHolderIsKept: an engine that does not tell of one, or is not waited for,
// costs none.
func TestUnknownHolderIsKept(t *testing.T) {
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		before := holders(host)
		ids := []string{host.IDOf(before[0]), host.IDOf(before[1])}
		host.Faults(func(_ context.Context, call, subject string) error {
			if call == "Inspect" && slices.Contains(ids, subject) {
				return errdefs.ErrUnavailable
			}
			return nil
		})
		s := claim(t, p.Reserve(nil))
		wantSame(t, "network", container(host, s.ID).Spec.Network, "none")
		host.Faults(nil)
		advance(3 * time.Minute)
		wantSame(t, "holders", holders(host), before)
		wantHolders(t, p, host, 2)
	})
}

// TestUnguardedHolder: the guard is asked again when a sandbox is made.
func TestUnguardedHolder(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		open := errors.New("nothing keeps pods from this host")
		guards := &guard{}
		config.Size, config.Holders, config.Guard = 0, 1, guards
		p := pool.New(config, host)
		stop := run(t, p)
		wantHolders(t, p, host, 1)
		wantSame(t, "bridge", host.Networks[host.NetworkNames()[0]].Bridge, "dsd-"+host.NetworkNames()[0][:8])
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
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			config.Size, config.Holders = 0, 1
			host.Faults(sandboxtest.Failing(call, errdefs.ErrUnknown))
			p := pool.New(config, host)
			run(t, p)
			wantHolders(t, p, host, 0)
			wantNothing(t, host, config)
			tried := len(host.Creates())
			advance(10 * time.Second)
			wantSame(t, "tries", len(host.Creates()), tried)
			host.Faults(nil)
			advance(2 * time.Minute)
			wantHolders(t, p, host, 1)
		})
	}
}

// TestHolderDies: its sandbox has lost its network, and ends.
func TestHolderDies(t *testing.T) {
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		s, holder := heldSandbox(t, host, p)
		host.Faults(sandboxtest.Failing("Stop", errdefs.ErrUnavailable))
		host.Kill(holder)
		advance(time.Second)
		if isClosed(s) {
			t.Fatal("the sandbox is called gone while its container runs")
		}
		host.Faults(nil)
		advance(10 * time.Second)
		if !isClosed(s) || container(host, s.ID).State.Alive() {
			t.Fatalf("the sandbox lives on without a network: %+v", container(host, s.ID).State)
		}
		again, err := p.Adopt(t.Context(), s.Name)
		if err != nil || again.Stopped.IsZero() || again.IP == "" || !container(host, holder).State.Alive() {
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
	withHolders(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
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

func isClosed(s *sandbox.Sandbox) bool {
	select {
	case <-s.Gone():
		return true
	default:
		return false
	}
}
