package pool_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// bubble runs a test with a fake clock, a host, and the settings of a pool that
// keeps two sandboxes. The test ends only when all its goroutines have.
func bubble(t *testing.T, test func(t *testing.T, host *sandboxtest.Fake, config pool.Config)) {
	t.Helper()
	inner := sandboxtest.StartEngines(t)
	// A socket's path may have 107 bytes, which t.TempDir uses up with the test's name.
	dir, err := os.MkdirTemp("", "pool")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	synctest.Test(t, func(t *testing.T) {
		test(t, sandboxtest.NewFake(inner), pool.Config{Size: 2, Parallel: 2, StrayGrace: 5 * time.Minute,
			Config: sandbox.Config{Instance: "test", Dir: filepath.Join(dir, "s"), Image: "docker:dind", Init: "/data/init/init-1", BootTimeout: time.Minute,
				RemoveFolder: func(_ context.Context, path string) error { return os.RemoveAll(path) }}})
	})
}

// run keeps a pool full until the test, or the returned function, ends it.
func run(t *testing.T, p *pool.Pool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		p.Close()
	})
	t.Cleanup(stop)
	synctest.Wait()
	return stop
}

// advance lets the fake clock run and waits until nothing moves any more.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func wantStats(t *testing.T, p *pool.Pool, warm, starting, waiting int) {
	t.Helper()
	got := p.Stats()
	if got.Warm != warm || got.Starting != starting || got.Waiting != waiting {
		t.Errorf("Stats() = %+v, want Warm %d, Starting %d, Waiting %d", got, warm, starting, waiting)
	}
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// claim returns a sandbox, or fails the test.
func claim(t *testing.T, c *pool.Claim) *sandbox.Sandbox {
	t.Helper()
	s, err := c.Sandbox(t.Context())
	if err != nil {
		t.Fatalf("Sandbox() of %s: %v", c.Name, err)
	}
	return s
}

func folders(t *testing.T, config pool.Config) int {
	t.Helper()
	entries, err := os.ReadDir(config.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return len(entries)
}

func TestFillsAndRefills(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 3
		p := pool.New(config, host)
		run(t, p)
		wantStats(t, p, 3, 0, 0)
		if got := host.Inner.Calls("POST /containers/create"); got != 3 {
			t.Errorf("%d sandboxes were primed, want 3", got)
		}
		if got := host.Inner.Calls("DELETE /containers/primer"); got != 3 {
			t.Errorf("%d priming containers were removed, want 3", got)
		}

		if got := host.Inner.Calls("POST /images/create"); got != 3 {
			t.Errorf("%d sandboxes got the image without files, want 3", got)
		}

		c := p.Reserve(nil)
		if !c.Warm() {
			t.Fatal("Reserve() of a full pool gave nothing warm")
		}
		s := claim(t, c)
		if s.Name != c.Name || s.ID != host.IDOf(c.Name) || s.Image != "sha256:sandbox" ||
			!strings.HasPrefix(s.IP, "10.0.0.") || s.Booted.IsZero() {
			t.Errorf("sandbox %+v does not describe container %s", s, c.Name)
		}
		if info, err := os.Stat(s.PodDir()); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("folder for the pod's volumes: %v, %v, want mode 0700", info, err)
		}
		wantStats(t, p, 2, 0, 0)
		c.Settled()
		synctest.Wait()
		wantStats(t, p, 3, 0, 0)
		if len(host.Names()) != 4 {
			t.Errorf("containers %v, want the claimed one and three warm ones", host.Names())
		}
	})
}

func TestBootsAtMostParallel(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Parallel = 6, 2
		release := heldStarts(host)
		p := pool.New(config, host)
		run(t, p)
		for done := range 3 {
			if got, want := len(host.Creates()), 2*(done+1); got != want {
				t.Errorf("after %d boots %d were begun, want %d", 2*done, got, want)
			}
			release <- struct{}{}
			release <- struct{}{}
			synctest.Wait()
		}
		wantStats(t, p, 6, 0, 0)
	})
}

func TestNoSandboxIsGivenTwice(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		const claims = 50
		config.Size, config.Parallel = 15, 4
		p := pool.New(config, host)
		run(t, p)
		var mu sync.Mutex
		names, ids := map[string]int{}, map[string]int{}
		warm := 0
		var all sync.WaitGroup
		for range claims {
			all.Go(func() {
				c := p.Reserve(nil)
				s, err := c.Sandbox(t.Context())
				c.Settled()
				if err != nil {
					t.Errorf("Sandbox(): %v", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				names[c.Name]++
				ids[s.ID]++
				if c.Warm() {
					warm++
				}
			})
		}
		all.Wait()
		if len(names) != claims || len(ids) != claims {
			t.Errorf("%d claims got %d names and %d containers", claims, len(names), len(ids))
		}
		if warm < config.Size {
			t.Errorf("%d claims were warm, want at least the %d that were ready", warm, config.Size)
		}
		synctest.Wait()
		wantStats(t, p, config.Size, 0, 0)
	})
}

func TestEmptyPoolBootsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		defer p.Close()
		c := p.Reserve(nil)
		if c.Warm() {
			t.Error("a pool that never ran says that a claim is warm")
		}
		s := claim(t, c)
		if s.Name != c.Name || len(host.Names()) != 1 || host.Names()[0] != c.Name {
			t.Errorf("claim %s got sandbox %s of containers %v", c.Name, s.Name, host.Names())
		}
		wantStats(t, p, 0, 0, 0)
	})
}

func TestFinishedRefillGoesToWaitingClaim(t *testing.T) {
	// Several rounds: the claim also waits for the refill's turn to boot, and which
	// of the two it gets first must not be left to chance.
	for range 20 {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			config.Size, config.Parallel = 1, 1
			release := heldStarts(host)
			p := pool.New(config, host)
			run(t, p)
			wantStats(t, p, 0, 1, 0)
			c := p.Reserve(nil)
			got := make(chan string, 1)
			go func() { got <- claim(t, c).Name }()
			synctest.Wait()
			wantStats(t, p, 0, 1, 1)
			release <- struct{}{}
			synctest.Wait()
			select {
			case name := <-got:
				if name == c.Name {
					t.Error("the claim booted its own sandbox, want the one that was ready first")
				}
			default:
				t.Error("the claim still waits although a sandbox is ready")
			}
			close(release)
			c.Settled()
			synctest.Wait()
			wantStats(t, p, 1, 0, 0)
			if n := len(host.Names()); n != 2 {
				t.Errorf("%d containers, want the claimed one and a warm one", n)
			}
		})
		if t.Failed() {
			return
		}
	}
}

func TestQuietWhileAPodStarts(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		run(t, p)
		c := p.Reserve(nil)
		advance(900 * time.Millisecond)
		if got := len(host.Creates()); got != 2 {
			t.Errorf("a replacement was booted while the claimed pod starts: %d boots, want 2", got)
		}
		c.Settled()
		c.Settled()
		synctest.Wait()
		if got := len(host.Creates()); got != 3 {
			t.Errorf("%d boots after Settled, want 3", got)
		}
		p.Reserve(nil)
		first := p.Reserve(nil)
		first.Settled()
		synctest.Wait()
		if got := len(host.Creates()); got != 3 {
			t.Errorf("%d boots while one of two pods still starts, want 3", got)
		}
		advance(time.Second)
		wantStats(t, p, 2, 0, 0)
	})
}

func TestDeadWarmSandboxIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		p := pool.New(config, host)
		run(t, p)
		dead := host.Names()[0]
		host.Kill(host.IDOf(dead))
		synctest.Wait()
		wantStats(t, p, 1, 0, 0)
		wantSame(t, "containers", len(host.Names()), 1)
		wantSame(t, "networks", len(host.NetworkNames()), 1)
		wantSame(t, "folders", folders(t, config), 1)
		if host.Names()[0] == dead {
			t.Error("the dead sandbox is still there")
		}
	})
}

// TestSandboxDiesBeforeItIsWarm: its end is known before it is in the pool.
func TestSandboxDiesBeforeItIsWarm(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		var died atomic.Bool
		host.Faults(func(_ context.Context, call, subject string) error {
			if call == "Inspect" && !died.Swap(true) {
				host.Kill(subject)
				time.Sleep(time.Second) // of the fake clock: its end is known after it
			}
			return nil
		})
		p := pool.New(config, host)
		run(t, p)
		advance(time.Minute)
		wantStats(t, p, 1, 0, 0)
		wantSame(t, "boots", len(host.Creates()), 2)
		if s := claim(t, p.Reserve(nil)); !host.IsRunning(s.ID) {
			t.Error("a sandbox that died is handed out")
		}
	})
}
