package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// The tests of this file have the pool speak with an engine in memory as it does with a
// real one, over a socket.

// overSocket is a host in memory, a client for it, and the config of a pool there.
func overSocket(t *testing.T) (*sandboxtest.Host, *engine.Client, pool.Config) {
	t.Helper()
	host := sandboxtest.Start(t)
	host.AddImage(enginetest.Image{Tags: []string{"sandbox:1"}, Cmd: []string{"dockerd"}})
	client, err := engine.Connect(host.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if _, err := client.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Sockets are below it, whose paths must be short.
	dir, err := os.MkdirTemp("", "pool")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return host, client, pool.Config{Size: 1, Parallel: 1, StrayGrace: time.Hour,
		Config: sandbox.Config{Instance: "test", Dir: filepath.Join(dir, "s"), Image: "sandbox:1", Init: "/init", BootTimeout: enginetest.Patience,
			RemoveFolder: func(_ context.Context, path string) error { return os.RemoveAll(path) }}}
}

// runPool until the function that it returns is called, or the test ends.
func runPool(t *testing.T, config pool.Config, client *engine.Client) (*pool.Pool, func()) {
	t.Helper()
	p := pool.New(config, client)
	if err := p.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	end := sync.OnceFunc(func() { cancel(); running.Wait(); p.Close() })
	t.Cleanup(end)
	return p, end
}

// TestSandboxOverASocket: claimed, named, found again after a restart, and destroyed.
func TestSandboxOverASocket(t *testing.T) {
	host, client, config := overSocket(t)
	p, end := runPool(t, config, client)
	const uid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	claim := p.Reserve(nil)
	s, err := claim.Sandbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	claim.Settled()
	if claim.Actual() != s.Name && !claim.Warm() {
		t.Errorf("the claim's sandbox is %q, and not %s", claim.Actual(), s.Name)
	}
	if s.IP == "" {
		t.Error("it has no address")
	}
	if _, err := s.EngineStarted(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.Engine.Ping(t.Context()), p.Assign(t.Context(), s, uid)); err != nil {
		t.Fatal(err)
	}
	if name, err := p.Named(t.Context(), uid); name != s.Name || err != nil {
		t.Errorf("Named() = %q, %v", name, err)
	}
	if name, err := p.Named(t.Context(), "another"); name != "" || err != nil {
		t.Errorf("Named() of another pod = %q, %v", name, err)
	}
	end()
	config.Size = 0
	q := pool.New(config, client)
	defer q.Close()
	q.Keep(map[string]bool{s.Name: true})
	if err := q.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	host.Exit(sandbox.AssignedName(uid), 137)
	if runs, err := q.Runs(t.Context(), s.Name); runs || err != nil {
		t.Errorf("Runs() of a stopped one = %t, %v", runs, err)
	}
	again, err := q.Adopt(t.Context(), s.Name)
	if err != nil || again.Stopped.IsZero() || again.ID != s.ID {
		t.Fatalf("Adopt() = %+v, %v", again, err)
	}
	if runs, err := q.Runs(t.Context(), s.Name); !runs || err != nil {
		t.Errorf("Runs() = %t, %v", runs, err)
	}
	if err := q.Destroy(t.Context(), s.Name); err != nil {
		t.Error(err)
	}
	<-again.Gone()
	if _, err := q.Adopt(t.Context(), s.Name); !errdefs.IsNotFound(err) {
		t.Errorf("Adopt() after its end = %v", err)
	}
	if _, err := os.Stat(again.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
}

// TestRebookedIsNoStray: while what a crash left of a pod's sandbox is cleared away and the
// sandbox made once more, a search for leftovers must not touch it.
func TestRebookedIsNoStray(t *testing.T) {
	host, client, config := overSocket(t)
	config.Size = 0
	earlier := pool.New(config, client)
	s, err := earlier.Reserve(nil).Sandbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	earlier.Close()
	p := pool.New(config, client)
	defer p.Close()
	p.Keep(map[string]bool{s.Name: true})
	held := host.Inject(enginetest.Fault{Call: "DELETE /networks/" + sandbox.NetworkName(s.Name), Hold: enginetest.Before})
	booted := make(chan error)
	go func() {
		again, err := p.Rebook(s.Name, nil).Sandbox(t.Context())
		if err == nil && again.Name != s.Name {
			t.Errorf("it got sandbox %s, and not %s", again.Name, s.Name)
		}
		booted <- err
	}()
	held.AwaitCall()
	removed := host.Calls("DELETE /*/*")
	if err := p.Restore(t.Context()); err != nil {
		t.Error(err)
	}
	if now := host.Calls("DELETE /*/*"); now != removed {
		t.Errorf("the search for leftovers has removed %d things", now-removed)
	}
	held.Release()
	if err := <-booted; err != nil {
		t.Fatal(err)
	}
	if err := p.Destroy(t.Context(), s.Name); err != nil {
		t.Error(err)
	}
}

// TestWarmSandboxDies: the pool is full again.
func TestWarmSandboxDies(t *testing.T) {
	host, client, config := overSocket(t)
	p, _ := runPool(t, config, client)
	first := awaitWarm(t, p, "")
	host.Lose(first.Name)
	if next := awaitWarm(t, p, first.Name); next.ID == first.ID {
		t.Error("the sandbox that died is handed out")
	}
}

// awaitWarm waits for a warm sandbox other than one.
func awaitWarm(t *testing.T, p *pool.Pool, but string) *sandbox.Sandbox {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(enginetest.Patience); ; <-tick.C {
		for _, s := range p.Warm() {
			if s.Name != but {
				return s
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no sandbox is warm")
		}
	}
}
