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
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

func TestClaimThatIsGivenUpLeavesNothing(t *testing.T) {
	for name, when := range map[string]string{"while it waits for a turn": "", "while it boots": "Start"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				config.Parallel = 1
				release := heldStarts(host)
				p := pool.New(config, host)
				defer p.Close()
				errs := make(chan error, 2)
				first, cancelFirst := context.WithCancel(t.Context())
				defer cancelFirst()
				go func() { _, err := p.Reserve(nil).Sandbox(first); errs <- err }()
				synctest.Wait()
				if when == "" {
					second, cancel := context.WithCancel(t.Context())
					go func() { _, err := p.Reserve(nil).Sandbox(second); errs <- err }()
					synctest.Wait()
					cancel()
					if err := <-errs; err == nil || !strings.Contains(err.Error(), "wait for a turn") {
						t.Errorf("error %v, want one that says what was waited for", err)
					}
				}
				cancelFirst()
				close(release)
				if err := <-errs; err == nil {
					t.Error("a cancelled boot succeeded")
				}
				wantSame(t, "containers", host.Names(), []string(nil))
				wantSame(t, "networks", host.NetworkNames(), []string(nil))
				wantSame(t, "folders", folders(t, config), 0)
				wantStats(t, p, 0, 0, 0)
				if err := p.Stats().LastError; err != nil {
					t.Errorf("LastError = %v after a claim was given up, want nil", err)
				}
			})
		})
	}
}

func TestFreshReserveIgnoresThePool(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		run(t, p)
		before := len(host.Creates())
		c := p.ReserveFresh(nil)
		if c.Warm() {
			t.Error("ReserveFresh() took a sandbox that was there before")
		}
		if s := claim(t, c); s.Name != c.Name || len(host.Creates()) != before+1 {
			t.Errorf("ReserveFresh() got %s after %d boots, want %s after one", s.Name, len(host.Creates())-before, c.Name)
		}
		wantStats(t, p, 2, 0, 0)
	})
}

func TestPortsNeedTheirOwnBoot(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		ports := []engine.Port{{Host: 8080, Container: 80, Protocol: "tcp"}}
		p := pool.New(config, host)
		run(t, p)
		c := p.Reserve(ports)
		if c.Warm() {
			t.Fatal("a claim with ports took a warm sandbox, which publishes none")
		}
		s := claim(t, c)
		wantSame(t, "ports", host.Containers[s.ID].Spec.Ports, ports)
		p.Return(c)
		synctest.Wait()
		wantSame(t, "container after Return", host.IDOf(c.Name), "")
		wantStats(t, p, 2, 0, 0)
	})
}

// TestReturnToAFullPool: what is given back when its place has been filled is
// removed, and a pool that is renewed comes down to its size.
func TestReturnToAFullPool(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		run(t, p)
		var claims []*pool.Claim
		for range 2 {
			c := p.Reserve(nil)
			claim(t, c)
			c.Settled()
			claims = append(claims, c)
		}
		advance(time.Minute)
		wantStats(t, p, 2, 0, 0)
		for _, c := range claims {
			p.Return(c)
			synctest.Wait()
			wantSame(t, "container after Return", host.IDOf(c.Name), "")
		}
		p.Refresh()
		advance(time.Minute)
		wantStats(t, p, 2, 0, 0)
	})
}

func TestReturnPutsBack(t *testing.T) {
	t.Run("warm", func(t *testing.T) {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			config.Size = 1
			p := pool.New(config, host)
			run(t, p)
			c := p.Reserve(nil)
			p.Return(c)
			wantStats(t, p, 1, 0, 0)
			advance(time.Minute)
			if again := p.Reserve(nil); again.Name != c.Name || len(host.Creates()) != 1 {
				t.Errorf("Reserve() after Return = %s after %d boots, want %s of the first", again.Name, len(host.Creates()), c.Name)
			}
		})
	})
	t.Run("booted", func(t *testing.T) {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			p := pool.New(config, host)
			defer p.Close()
			c := p.Reserve(nil)
			claim(t, c)
			p.Return(c)
			wantStats(t, p, 1, 0, 0)
		})
	})
	t.Run("never booted", func(t *testing.T) {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			p := pool.New(config, host)
			p.Return(p.Reserve(nil))
			wantStats(t, p, 0, 0, 0)
		})
	})
	t.Run("dead", func(t *testing.T) {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			config.Size = 1
			p := pool.New(config, host)
			run(t, p)
			c := p.Reserve(nil)
			s := claim(t, c)
			host.Kill(s.ID)
			<-s.Gone()
			p.Return(c)
			synctest.Wait()
			wantStats(t, p, 1, 0, 0)
			if p.Reserve(nil).Name == c.Name {
				t.Error("a dead sandbox was handed out after its return")
			}
			wantSame(t, "dead container", host.IDOf(c.Name), "")
		})
	})
}

const ownImage = "own:1"

// TestImageNeedsItsOwnBoot: what the pool has made ahead stays, and a sandbox with an image of
// its own is nobody else's.
func TestImageNeedsItsOwnBoot(t *testing.T) {
	for name, reserve := range map[string]func(*pool.Pool) *pool.Claim{
		"new":           func(p *pool.Pool) *pool.Claim { return p.ReserveFresh(nil) },
		"after a crash": func(p *pool.Pool) *pool.Claim { return p.Rebook(sandbox.NewName(), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				config.Standby, config.Holders = 1, 1
				p := pool.New(config, host)
				run(t, p)
				before := p.Stats()
				usual := claim(t, p.ReserveFresh(nil)) // the control takes the standby
				if now := p.Stats(); now.Standby >= before.Standby {
					t.Fatalf("a claim without an image took nothing that was made ahead: %+v", now)
				}
				synctest.Wait()
				before = p.Stats()
				c := reserve(p).Of(ownImage)
				s := claim(t, c)
				if s.Name != c.Name || host.Containers[s.ID].Spec.Image != ownImage {
					t.Errorf("it got %s of %s, want %s of %s", s.Name, host.Containers[s.ID].Spec.Image, c.Name, ownImage)
				}
				now := p.Stats()
				wantSame(t, "made ahead", []int{now.Warm, now.Standby, now.Holders}, []int{before.Warm, before.Standby, before.Holders})
				generation := func(id string) string { return host.Containers[id].Spec.Labels[engine.LabelGeneration] }
				if generation(s.ID) == generation(usual.ID) {
					t.Error("a later docker-sd would take it for one of the pool")
				}
				p.Return(c)
				if _, there := host.Containers[s.ID]; there {
					t.Error("it was given back and is kept")
				}
			})
		})
	}
}

// TestImageThatIsMissing is its pod's trouble: the pool and the node are well.
func TestImageThatIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		asked := ""
		config.FetchImage = func(_ context.Context, image string) error { asked = image; return errors.New("pull access denied") }
		p := pool.New(config, host)
		run(t, p)
		before := len(host.Creates())
		_, err := p.ReserveFresh(nil).Of(ownImage).Sandbox(t.Context())
		if err == nil || !strings.Contains(err.Error(), "own:1") || !strings.Contains(err.Error(), "RuntimeClasses") || asked != ownImage {
			t.Errorf("Sandbox() = %v after a question for %q", err, asked)
		}
		if last := p.Stats().LastError; last != nil || len(host.Creates()) != before {
			t.Errorf("LastError = %v after %d creates", last, len(host.Creates())-before)
		}
		wantStats(t, p, 2, 0, 0)
	})
}
