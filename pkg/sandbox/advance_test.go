package sandbox_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// advances is what an init says of a boot that uses a tenth of a processor.
func advances() func() initapi.State {
	var asked atomic.Int64
	return func() initapi.State {
		return initapi.State{EngineStarts: 1, Used: time.Duration(asked.Add(1)) * 6 * time.Second}
	}
}

// TestBoot_Advances: BootTimeout is the time without progress, and a boot that goes on is
// waited for.
func TestBoot_Advances(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		host.Mute = true
		host.Inner.Say(advances())
		p, name := open(t, host, config), sandbox.NewName()
		time.AfterFunc(4*config.BootTimeout+time.Second, func() {
			if err := host.Inner.Answer(config.Folder(name)); err != nil {
				t.Error(err)
			}
		})
		if s := p.boot(t, sandbox.Spec{Name: name}); s.Name != name {
			t.Errorf("it is %s", s.Name)
		}
	})
}

// TestBoot_Stuck: one that does not go on is given up after BootTimeout, and one that never
// ends after ten of them.
func TestBoot_Stuck(t *testing.T) {
	for name, c := range map[string]struct {
		say   func() initapi.State
		times time.Duration
	}{
		"an init of an earlier version": {nil, 1},
		"idle":                          {func() initapi.State { return initapi.State{EngineStarts: 1, Used: 500 * time.Millisecond} }, 1},
		"idle after some work":          {func() initapi.State { return initapi.State{EngineStarts: 1, Used: 5 * time.Second} }, 2},
		"an engine that crashes":        {func() initapi.State { s := advances()(); s.EngineStarts = 2; return s }, 1},
		"endless":                       {advances(), 10},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
				host.Mute = true
				host.Inner.Say(c.say)
				began := time.Now()
				s, err := open(t, host, config).maker.Boot(t.Context(), sandbox.Spec{Name: sandbox.NewName()})
				if !errdefs.IsUnavailable(err) {
					t.Errorf("Boot() = %v, %v", s, err)
				}
				if took := time.Since(began).Round(time.Second); took != c.times*config.BootTimeout {
					t.Errorf("it was given up after %s, want %s", took, c.times*config.BootTimeout)
				}
				synctest.Wait()
			})
		})
	}
}

// TestStore_Advances: docker-sd's image store is waited for in the same way.
func TestStore_Advances(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		host.Mute = true
		host.Inner.Say(advances())
		dir := filepath.Join(config.Dir, "images")
		s, err := sandbox.NewImageStore(config, dir, host)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		time.AfterFunc(4*config.BootTimeout+time.Second, func() {
			if err := host.Inner.Answer(dir); err != nil {
				t.Error(err)
			}
		})
		load(t, s)
	})
}
