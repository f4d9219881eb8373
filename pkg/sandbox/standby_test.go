package sandbox_test

import (
	"errors"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// withStandby runs a test with a standby.
func withStandby(t *testing.T, test func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config, p parts, name, id string)) {
	t.Helper()
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		p, name := open(t, host, config), sandbox.NewName()
		id, err := p.maker.MakeStandby(t.Context(), sandbox.Spec{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "containers", host.Names(), []string{sandbox.StandbyName(name)})
		test(t, host, config, p, name, id)
	})
}

// TestWake: a standby has no engine, and becomes a sandbox of the name that it was made
// for, which is told whether its images are the host's.
func TestWake(t *testing.T) {
	for _, current := range []bool{true, false} {
		withStandby(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config, p parts, name, id string) {
			if !p.maker.StandsBy(t.Context(), host.Only(t).Container) {
				t.Error("it does not stand by")
			}
			s, err := p.maker.Wake(t.Context(), name, id, current)
			if err != nil || s.Name != name || s.ID != id || s.IP == "" {
				t.Fatalf("Wake() = %+v, %v", s, err)
			}
			if err := s.Engine.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			wantSame(t, "containers", host.Names(), []string{name})
			wantSame(t, "it was woken with", host.Inner.Woken(s.Dir), []bool{current})
			if p.maker.StandsBy(t.Context(), host.Only(t).Container) {
				t.Error("a sandbox stands by")
			}
		})
	}
}

// TestAdoptWakes: a sandbox that was a standby is woken again whenever its container was
// started again.
func TestAdoptWakes(t *testing.T) {
	withStandby(t, func(t *testing.T, host *sandboxtest.Fake, _ sandbox.Config, p parts, name, id string) {
		if _, err := p.maker.Wake(t.Context(), name, id, true); err != nil {
			t.Fatal(err)
		}
		host.Kill(id)
		s, err := p.maker.Adopt(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Engine.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		wantSame(t, "it was woken with", host.Inner.Woken(s.Dir), []bool{true})
	})
}

// TestWakeFails: the error comes as soon as it is clear that nothing will answer.
func TestWakeFails(t *testing.T) {
	broken := errors.New("no space left on device")
	for name, c := range map[string]struct {
		arrange func(host *sandboxtest.Fake, folder, id string)
		is      func(error) bool
		within  time.Duration
	}{
		"it is dead": {func(host *sandboxtest.Fake, _, id string) { host.Kill(id) }, errdefs.IsFailedPrecondition, 100 * time.Millisecond},
		"it is deaf": {func(host *sandboxtest.Fake, folder, _ string) { host.Inner.Stop(folder) }, errdefs.IsUnavailable, 6 * time.Second},
		"it cannot be renamed": {func(host *sandboxtest.Fake, _, _ string) { host.Faults(sandboxtest.Failing("Rename", broken)) },
			func(err error) bool { return errors.Is(err, broken) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			withStandby(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config, p parts, name, id string) {
				c.arrange(host, config.Folder(name), id)
				began := time.Now()
				if _, err := p.maker.Wake(t.Context(), name, id, true); !c.is(err) || time.Since(began) > c.within {
					t.Errorf("Wake() after %s = %v", time.Since(began), err)
				}
				host.Faults(nil)
				if err := p.remover.Destroy(t.Context(), name); err != nil {
					t.Error(err)
				}
				wantNothing(t, host, config)
			})
		})
	}
}
