package pool_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// standing are the containers that stand by.
func standing(host *sandboxtest.Fake) []string {
	return slices.DeleteFunc(host.Names(), func(name string) bool { return !strings.HasSuffix(name, "_standby") })
}

// folderNamed is the folder of the sandbox that a standby is to become.
func folderNamed(config pool.Config, name string) string {
	return filepath.Join(config.Dir, strings.ReplaceAll(name, "-", "")[:16])
}

func wantStandby(t *testing.T, p *pool.Pool, host *sandboxtest.Fake, want int) {
	t.Helper()
	if got, listed := p.Stats().Standby, len(standing(host)); got != want || listed != want {
		t.Errorf("%d stand by, %d containers are named so, want %d", got, listed, want)
	}
}

// standbys runs a test with two warm sandboxes and three that stand by.
func standbys(t *testing.T, test func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool)) {
	t.Helper()
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Standby = 3
		p := pool.New(config, host)
		run(t, p)
		wantStats(t, p, 2, 0, 0)
		wantStandby(t, p, host, 3)
		test(t, host, config, p)
	})
}

func TestStandbyServesAnEmptyPool(t *testing.T) {
	standbys(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		before := host.Names()
		for range 2 {
			p.Reserve(nil).Settled()
		}
		c := p.Reserve(nil)
		if c.Warm() {
			t.Fatal("a third warm sandbox out of two")
		}
		made := len(host.Creates())
		s := claim(t, c)
		if !slices.Contains(before, strings.TrimSuffix(s.Name, "_dind")+"_standby") || host.IDOf(s.Name) != s.ID {
			t.Errorf("sandbox %s is none of those that stood by, or kept its name: %v", s.Name, host.Names())
		}
		wantSame(t, "containers made", len(host.Creates()), made)
		if state, err := s.Init.Status(t.Context()); err != nil || state.Standby {
			t.Errorf("the state of a standby that was woken: %+v, %v", state, err)
		}
		c.Settled()
		synctest.Wait()
		wantStats(t, p, 2, 0, 0)
		wantStandby(t, p, host, 3)
	})
}

// TestStandbyIsToldOfImages: it keeps what it shared of the host's images only
// where they are certainly those of now.
func TestStandbyIsToldOfImages(t *testing.T) {
	empty := func(p *pool.Pool) { p.Reserve(nil).Settled(); p.Reserve(nil).Settled() }
	for name, c := range map[string]struct {
		claim func(p *pool.Pool) *pool.Claim
		want  bool
	}{
		"the same images": {func(p *pool.Pool) *pool.Claim { empty(p); return p.Reserve(nil) }, true},
		"other images":    {func(p *pool.Pool) *pool.Claim { empty(p); p.Refresh(); return p.Reserve(nil) }, false},
		"not known yet":   {func(p *pool.Pool) *pool.Claim { return p.ReserveFresh(nil) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			standbys(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
				wantSame(t, "it was woken with", host.Inner.Woken(claim(t, c.claim(p)).Dir), []bool{c.want})
			})
		})
	}
	t.Run("of an earlier run", func(t *testing.T) {
		bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
			config.Standby = 1
			fill(t, host, config)
			p := restored(t, host, config)
			empty(p)
			wantSame(t, "it was woken with", host.Inner.Woken(claim(t, p.Reserve(nil)).Dir), []bool{false})
		})
	})
}

func TestStandbyHasNoPorts(t *testing.T) {
	standbys(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		c := p.Reserve([]engine.Port{{Container: 80, Host: 8080, Protocol: "tcp"}})
		if s := claim(t, c); s.Name != c.Name {
			t.Errorf("a pod with ports on the host got sandbox %s, want one made for it", s.Name)
		}
		wantStandby(t, p, host, 3)
	})
}

func TestDeadStandbys(t *testing.T) {
	standbys(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		for _, name := range standing(host) {
			host.Kill(host.IDOf(name))
		}
		began := time.Now()
		dead := standing(host)
		s := claim(t, p.ReserveFresh(nil))
		if slices.Contains(dead, strings.TrimSuffix(s.Name, "_dind")+"_standby") || host.Containers[s.ID].State.Status != engine.StatusRunning {
			t.Errorf("a dead standby became a sandbox: %s", s.Name)
		}
		if waited := time.Since(began); waited > 100*time.Millisecond {
			t.Errorf("a claim waited %s for dead standbys", waited)
		}
	})
	standbys(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		dead := standing(host)[0]
		host.Kill(host.IDOf(dead))
		advance(2 * time.Minute)
		wantSame(t, "dead container", host.IDOf(dead), "")
		wantStandby(t, p, host, 3)
	})
}

// TestStandbyThatDoesNotAnswer: its container runs, but not what its init should do.
func TestStandbyThatDoesNotAnswer(t *testing.T) {
	standbys(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		deaf := standing(host)
		for _, name := range deaf {
			host.Inner.Stop(folderNamed(config, name))
		}
		began := time.Now()
		s := claim(t, p.ReserveFresh(nil))
		if slices.Contains(deaf, strings.TrimSuffix(s.Name, "_dind")+"_standby") {
			t.Errorf("a standby that does not answer became sandbox %s", s.Name)
		}
		// Five seconds for each of the three.
		if waited := time.Since(began); waited < 15*time.Second || waited > 20*time.Second {
			t.Errorf("a claim waited %s for standbys that do not answer", waited)
		}
		for _, name := range deaf {
			wantSame(t, "container "+name, host.IDOf(name), "")
		}
	})
}

func TestStandbyThatCannotBeMade(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		run(t, p)() // warm sandboxes are there, and no standby
		config.Standby = 1
		host.Faults(sandboxtest.Failing("Start", errors.New("no space left on device")))
		p = restored(t, host, config)
		run(t, p)
		advance(10 * time.Minute)
		// Two for the pool, and one try a minute.
		if n := len(host.Creates()); n < 2+8 || n > 2+21 {
			t.Errorf("%d containers were made in ten minutes, want a try now and then", n)
		}
		wantSame(t, "containers", len(host.Names()), 2)
		wantStats(t, p, 2, 0, 0)
		host.Faults(nil)
		advance(2 * time.Minute)
		wantStandby(t, p, host, 1)
	})
}

func TestRestoreStandbys(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Standby = 3
		fill(t, host, config)
		earlier := standing(host)
		if err := initapi.NewClient(folderNamed(config, earlier[0])).Start(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		host.Kill(host.IDOf(earlier[1]))
		p := restored(t, host, config)
		wantStats(t, p, 2, 0, 0)
		wantStandby(t, p, host, 1)
		wantSame(t, "the one that is kept", standing(host), earlier[2:])
		config.Standby = 0
		p = restored(t, host, config)
		wantStandby(t, p, host, 0)
	})
}

func TestOtherHardwareReplacesStandbys(t *testing.T) {
	standbys(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config, p *pool.Pool) {
		before := standing(host)
		p.SetHardware(oneGPU)
		synctest.Wait()
		wantStandby(t, p, host, 3)
		for _, name := range standing(host) {
			if slices.Contains(before, name) {
				t.Errorf("%s stands by without the hardware", name)
			}
			wantHardware(t, host, name)
		}
	})
}
