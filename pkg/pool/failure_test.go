package pool_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

func TestFailedBootLeavesNothing(t *testing.T) {
	broken := errors.New("no space left on device")
	for name, c := range map[string]struct {
		arrange func(*sandboxtest.Fake)
		want    string
	}{
		"network": {func(h *sandboxtest.Fake) { h.Faults(sandboxtest.Failing("CreateNetwork", broken)) }, "no space left"},
		"create":  {func(h *sandboxtest.Fake) { h.Faults(sandboxtest.Failing("Create", broken)) }, "no space left"},
		"start":   {func(h *sandboxtest.Fake) { h.Faults(sandboxtest.Failing("Start", broken)) }, "no space left"},
		"inspect": {func(h *sandboxtest.Fake) { h.Faults(sandboxtest.Failing("Inspect", broken)) }, "no space left"},
		"no engine answers": {func(h *sandboxtest.Fake) { h.Mute = true },
			"did not answer within 1m0s: its boot does not advance, or takes too long: dockerd: no space left on device"},
		"ends while booting": {func(h *sandboxtest.Fake) { h.Fleeting = true },
			"it ended while booting: dockerd: no space left on device"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				// One subnet: a boot that kept it would make the next one fail otherwise.
				config.Subnets = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/28")}
				c.arrange(host)
				p := pool.New(config, host)
				defer p.Close()
				for range 2 {
					claim := p.Reserve(nil)
					_, err := claim.Sandbox(t.Context())
					if err == nil {
						t.Fatal("Sandbox() = nil error")
					}
					if text := err.Error(); !strings.Contains(text, c.want) || !strings.Contains(text, claim.Name) {
						t.Errorf("error %q, want %q and the sandbox's name in it", text, c.want)
					}
					if got := p.Stats().LastError; got == nil || got.Error() != err.Error() {
						t.Errorf("LastError = %v, want %v", got, err)
					}
					wantSame(t, "containers", host.Names(), []string(nil))
					wantSame(t, "networks", host.NetworkNames(), []string(nil))
					wantSame(t, "folders", folders(t, config), 0)
					wantSame(t, "known", p.Knows(claim.Name), false)
				}
				host.Faults(nil)
				host.Mute, host.Fleeting = false, false
				if _, err := p.Reserve(nil).Sandbox(t.Context()); err != nil {
					t.Errorf("Sandbox() once the fault is gone: %v", err)
				}
				if err := p.Stats().LastError; err != nil {
					t.Errorf("LastError = %v after a boot that succeeded", err)
				}
			})
		})
	}
}

// TestFailedBootWaitsForItsCalls: what is removed has no call under way for it.
func TestFailedBootWaitsForItsCalls(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		var joining atomic.Bool
		host.Mute = true
		host.Faults(func(ctx context.Context, call, subject string) error {
			switch call {
			case "Join":
				joining.Store(true)
				host.Kill(subject)
				<-ctx.Done()
				joining.Store(false)
				return ctx.Err()
			case "Remove", "RemoveNetwork":
				if joining.Load() {
					t.Errorf("%s of %s while it is given its network", call, subject)
				}
			}
			return nil
		})
		p := pool.New(config, host)
		defer p.Close()
		if _, err := p.Reserve(nil).Sandbox(t.Context()); err == nil || !strings.Contains(err.Error(), "it ended while booting") {
			t.Errorf("Sandbox() = %v", err)
		}
	})
}

func TestFailingRefillsBackOffAndRecover(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Parallel = 4, 4
		host.Faults(sandboxtest.Failing("Create", errors.New("no such runtime")))
		p := pool.New(config, host)
		run(t, p)
		atOnce := len(host.Creates())
		advance(10 * time.Minute)
		// Intervals grow from about a second to about a minute.
		tries := host.Creates()[atOnce:]
		if len(tries) < 10 || len(tries) > 40 {
			t.Errorf("%d further boots in 10 minutes of failure, want between 10 and 40", len(tries))
		}
		for i := 1; i < len(tries); i++ {
			if gap := tries[i].Sub(tries[i-1]); gap < 300*time.Millisecond || gap > 2*time.Minute {
				t.Errorf("boot %d came %s after the one before it", i, gap)
			}
		}
		if err := p.Stats().LastError; err == nil || !strings.Contains(err.Error(), "no such runtime") {
			t.Errorf("LastError = %v, want why boots fail", err)
		}
		wantStats(t, p, 0, 0, 0)
		host.Faults(nil)
		advance(5 * time.Minute)
		wantStats(t, p, 4, 0, 0)
		if err := p.Stats().LastError; err != nil {
			t.Errorf("LastError = %v after recovery", err)
		}
	})
}

func TestRunEndsWithoutLeftovers(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Parallel = 3, 3
		release := heldStarts(host)
		p := pool.New(config, host)
		stop := run(t, p)
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("Run returned while boots were under way")
		default:
		}
		close(release)
		<-stopped
		wantSame(t, "containers", host.Names(), []string(nil))
		wantSame(t, "networks", host.NetworkNames(), []string(nil))
		wantSame(t, "folders", folders(t, config), 0)
		if err := p.Stats().LastError; err != nil {
			t.Errorf("LastError = %v, want none for boots that the end cut short", err)
		}
	})
}

func TestDestroy(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Subnets = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/28")}
		p := pool.New(config, host)
		defer p.Close()
		s := claim(t, p.Reserve(nil))
		if err := p.Assign(t.Context(), s, "pod-uid"); err != nil {
			t.Fatal(err)
		}
		stuck := errors.New("device or resource busy")
		host.Faults(sandboxtest.Failing("Remove", stuck))
		if err := p.Destroy(t.Context(), s.Name); !errors.Is(err, stuck) || !strings.Contains(err.Error(), s.Name) {
			t.Errorf("Destroy() of a container that cannot be removed = %v", err)
		}
		wantSame(t, "networks while the container is there", host.NetworkNames(), []string{sandbox.NetworkName(s.Name)})
		if _, err := os.Stat(s.Dir); err != nil {
			t.Errorf("the folder of a running sandbox was removed: %v", err)
		}
		if _, err := p.Reserve(nil).Sandbox(t.Context()); !errdefs.IsResourceExhausted(err) {
			t.Errorf("a second sandbox in the only subnet = %v, want it to be held", err)
		}
		host.Faults(nil)
		for range 2 {
			if err := p.Destroy(t.Context(), s.Name); err != nil {
				t.Errorf("Destroy(): %v", err)
			}
			wantSame(t, "containers", host.Names(), []string(nil))
			wantSame(t, "networks", host.NetworkNames(), []string(nil))
			wantSame(t, "folders", folders(t, config), 0)
		}
		if _, err := p.Reserve(nil).Sandbox(t.Context()); err != nil {
			t.Errorf("the subnet was not given back: %v", err)
		}
	})
}

func TestReleaseKeepsTheFolder(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		defer p.Close()
		s := claim(t, p.Reserve(nil))
		for range 2 {
			if err := p.Release(t.Context(), s.Name); err != nil {
				t.Errorf("Release(): %v", err)
			}
			wantSame(t, "containers", host.Names(), []string(nil))
			wantSame(t, "networks", host.NetworkNames(), []string(nil))
			if _, err := os.Stat(s.PodDir()); err != nil {
				t.Errorf("the pod's folder: %v", err)
			}
		}
	})
}

func TestRefresh(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size, config.Parallel = 3, 1
		p := pool.New(config, host)
		run(t, p)
		before := host.Names()
		var mu sync.Mutex
		least, most := config.Size, 0
		host.Faults(func(context.Context, string, string) error {
			warm := p.Stats().Warm
			mu.Lock()
			defer mu.Unlock()
			least, most = min(least, warm), max(most, warm)
			return nil
		})
		p.Refresh()
		synctest.Wait()
		host.Faults(nil)
		if least < config.Size || most > config.Size+1 {
			t.Errorf("between %d and %d sandboxes were warm during the exchange, want %d or one more", least, most, config.Size)
		}
		wantStats(t, p, 3, 0, 0)
		wantSame(t, "containers", len(host.Names()), 3)
		wantSame(t, "networks", len(host.NetworkNames()), 3)
		wantSame(t, "folders", folders(t, config), 3)
		for _, name := range before {
			if host.IDOf(name) != "" {
				t.Errorf("sandbox %s was not replaced", name)
			}
		}
	})
}

func TestReservePrefersOneThatSeesAllImages(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		p := pool.New(config, host)
		run(t, p)
		old := host.Names()
		var booted atomic.Int32
		release := make(chan struct{})
		host.Faults(func(_ context.Context, call, _ string) error {
			if call == "Start" && booted.Add(1) > 1 {
				<-release
			}
			return nil
		})
		p.Refresh()
		synctest.Wait()
		fresh := p.Reserve(nil)
		for _, name := range old {
			if fresh.Name == name {
				t.Error("Reserve() took a stale sandbox while a fresh one was warm")
			}
		}
		if stale := p.Reserve(nil); !stale.Warm() {
			t.Error("Reserve() refused a stale sandbox; it is better than none")
		}
		close(release)
	})
}

// TestPortThatIsTaken is the trouble of the pod that wants the port, and not the node's.
func TestPortThatIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		taken := errors.New("address already in use")
		host.Faults(sandboxtest.Failing("Start", taken))
		p := pool.New(config, host)
		defer p.Close()
		if _, err := p.Reserve([]engine.Port{{Host: 8080, Container: 80, Protocol: "tcp"}}).Sandbox(t.Context()); !errors.Is(err, taken) {
			t.Errorf("Sandbox() = %v", err)
		}
		if err := p.Stats().LastError; err != nil {
			t.Errorf("LastError = %v", err)
		}
		if _, err := p.Reserve(nil).Sandbox(t.Context()); !errors.Is(err, taken) || p.Stats().LastError == nil {
			t.Errorf("without ports: Sandbox() = %v, LastError = %v", err, p.Stats().LastError)
		}
	})
}
