package pool_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// burst takes so many sandboxes at once, and removes them again.
func burst(t *testing.T, p *pool.Pool, pods int) (warm int) {
	t.Helper()
	var claims []*pool.Claim
	for range pods {
		c := p.Reserve(nil)
		if c.Warm() {
			warm++
		}
		claims = append(claims, c)
	}
	for _, c := range claims {
		s := claim(t, c)
		c.Settled()
		if err := p.Destroy(t.Context(), s.Name); err != nil {
			t.Error(err)
		}
	}
	advance(10 * time.Second)
	return warm
}

// TestPoolLearns: after a burst as many sandboxes wait as it took, up to a bound, and go
// one by one when no further burst comes.
func TestPoolLearns(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Most = 1, 4
		p := pool.New(config, host)
		run(t, p)
		wantStats(t, p, 1, 0, 0)
		burst(t, p, 3)
		wantStats(t, p, 3, 0, 0)
		advance(5 * time.Minute)
		if warm := burst(t, p, 3); warm != 3 {
			t.Errorf("the second burst found %d of 3 sandboxes", warm)
		}
		burst(t, p, 9)
		wantStats(t, p, 4, 0, 0)
		for i, left := range []int{4, 3, 2, 1, 1} {
			if i == 1 {
				advance(10 * time.Minute)
			} else if i > 1 {
				advance(30 * time.Second)
			}
			if got := p.Stats().Warm; got != left {
				t.Errorf("step %d: %d sandboxes wait, want %d", i, got, left)
			}
		}
		if n := folders(t, config); n != 1 {
			t.Errorf("%d folders are left, want 1", n)
		}
	})
}

// TestNoRoomToLearn: without room a pool has its usual size.
func TestNoRoomToLearn(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		var room atomic.Bool
		config.Size, config.Most, config.Room = 1, 4, room.Load
		p := pool.New(config, host)
		run(t, p)
		burst(t, p, 3)
		wantStats(t, p, 1, 0, 0)
		room.Store(true)
		burst(t, p, 3)
		wantStats(t, p, 4, 0, 0)
		room.Store(false)
		burst(t, p, 1)
		advance(5 * time.Minute)
		wantStats(t, p, 1, 0, 0)
	})
}

// TestRoomForFew: where the sandboxes of a burst take the room that a host has, some are given
// up, and not made again as soon as their memory is free.
func TestRoomForFew(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		var p *pool.Pool
		config.Size, config.Most = 1, 4
		config.Room = func() bool { return p.Stats().Warm <= 2 }
		p = pool.New(config, host)
		run(t, p)
		burst(t, p, 3)
		before := len(host.Creates())
		advance(4 * time.Minute)
		if more := len(host.Creates()) - before; more > 0 {
			t.Errorf("%d sandboxes were made for no pod", more)
		}
		wantStats(t, p, 1, 0, 0)
		advance(3 * time.Minute)
		if len(host.Creates()) == before {
			t.Error("the pool never tries again")
		}
	})
}
