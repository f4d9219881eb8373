package sandbox_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestFit: a sandbox gets the lesser of what its pod and all sandboxes may have, and
// an engine is asked only where that is something else than it has.
func TestFit(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config sandbox.Config) {
		config.Resources = engine.Resources{MemoryBytes: 1000, PidsLimit: 100}
		p := open(t, host, config).maker
		s, err := p.Boot(t.Context(), sandbox.Spec{Name: sandbox.NewName()})
		if err != nil {
			t.Fatal(err)
		}
		var asked []string
		refuse := errors.New("not now")
		host.Faults(func(_ context.Context, call, subject string) error {
			if call != "Update" {
				return nil
			}
			asked = append(asked, subject)
			if len(asked) == 1 {
				return refuse
			}
			return nil
		})
		bounds := func() engine.Bounds {
			seen, err := host.Inspect(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			return seen.Bounds
		}
		wantSame(t, "bounds at boot", bounds(), engine.Bounds{MemoryBytes: 1000, PidsLimit: 100})
		want := engine.Bounds{CPUShares: 512, MemoryBytes: 600}
		if err := p.Fit(t.Context(), s, want); !errors.Is(err, refuse) {
			t.Errorf("error %v, want the engine's", err)
		}
		for range 2 {
			if err := p.Fit(t.Context(), s, want); err != nil {
				t.Error(err)
			}
		}
		wantSame(t, "bounds", bounds(), engine.Bounds{CPUShares: 512, MemoryBytes: 600, PidsLimit: 100})
		if err := p.Fit(t.Context(), s, engine.Bounds{CPUShares: 512, MemoryBytes: 6000, PidsLimit: 1}); err != nil {
			t.Error(err)
		}
		wantSame(t, "bounds above all sandboxes'", bounds(), engine.Bounds{CPUShares: 512, MemoryBytes: 1000, PidsLimit: 1})
		wantSame(t, "updates", asked, slices.Repeat([]string{s.ID}, 3))

		// What it has is known of a sandbox that is taken over.
		again := open(t, host, config).maker
		taken, err := again.Adopt(t.Context(), s.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Fit(t.Context(), taken, engine.Bounds{CPUShares: 512, MemoryBytes: 1000, PidsLimit: 1}); err != nil {
			t.Error(err)
		}
		wantSame(t, "updates after a restart", len(asked), 3)
	})
}
