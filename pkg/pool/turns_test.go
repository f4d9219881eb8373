package pool_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// heldStarts makes boots wait until something is sent, or the channel is closed.
func heldStarts(host *sandboxtest.Fake) chan struct{} {
	release := make(chan struct{})
	host.Faults(func(_ context.Context, call, _ string) error {
		if call == "Start" {
			<-release
		}
		return nil
	})
	return release
}

func TestWaitingClaimsGoBeforeRefills(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Parallel = 1, 1
		release := heldStarts(host)
		p := pool.New(config, host)
		fresh, waits := p.ReserveFresh(nil), p.Reserve(nil)
		got := make(chan string, 2)
		go func() { got <- claim(t, fresh).Name }()
		synctest.Wait()
		go func() { got <- claim(t, waits).Name }()
		synctest.Wait()
		run(t, p)
		wantStats(t, p, 0, 0, 1)
		close(release)
		first, second := <-got, <-got
		if first != fresh.Name && second != fresh.Name || first == second {
			t.Errorf("the claims got %s and %s, want %s among them", first, second, fresh.Name)
		}
		// Their pods are starting: nothing is booted beside them until they have.
		synctest.Wait()
		wantStats(t, p, 0, 0, 0)
		fresh.Settled()
		waits.Settled()
		synctest.Wait()
		wantStats(t, p, 1, 0, 0)
	})
}

func TestFreshReserveIsNotHandedARefill(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Parallel = 1, 1
		release := heldStarts(host)
		p := pool.New(config, host)
		run(t, p)
		c := p.ReserveFresh(nil)
		got := make(chan string, 1)
		go func() { got <- claim(t, c).Name }()
		synctest.Wait()
		close(release)
		if name := <-got; name != c.Name {
			t.Errorf("ReserveFresh() got %s, whose boot had begun before, want %s", name, c.Name)
		}
		synctest.Wait()
		wantStats(t, p, 1, 0, 0)
	})
}

func TestStaleOnesStayWhileThePoolIsShort(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Parallel = 1
		p := pool.New(config, host)
		run(t, p)
		release := heldStarts(host)
		p.Refresh()
		synctest.Wait()
		p.Reserve(nil).Settled()
		release <- struct{}{}
		synctest.Wait()
		if got := p.Stats().Warm; got != 2 {
			t.Errorf("%d sandboxes are warm after one was taken and one came, want 2", got)
		}
		close(release)
		synctest.Wait()
		wantStats(t, p, 2, 0, 0)
	})
}
