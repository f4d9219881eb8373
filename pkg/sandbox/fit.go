package sandbox

import (
	"context"
	"fmt"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// Fit gives a sandbox the bounds of its pod in the place of those that it was booted
// with. A zero keeps the latter, and so does what is above them: no pod is given more
// than all together may have. It may be repeated, and asks no engine where the
// sandbox has these bounds already. One caller at a time may fit a sandbox.
func (m *Maker) Fit(ctx context.Context, s *Sandbox, want engine.Bounds) error {
	want = within(want, m.config.Resources.Bounds())
	if want == s.bounds {
		return nil
	}
	if err := m.host.Update(ctx, s.ID, want); err != nil {
		return fmt.Errorf("give sandbox %s the bounds of its pod: %w", s.Name, err)
	}
	fault.Point("sandbox.fit.updated")
	s.bounds = want
	return nil
}

// within takes the lesser of each bound.
func within(want, most engine.Bounds) engine.Bounds {
	return engine.Bounds{
		NanoCPUs: lesser(want.NanoCPUs, most.NanoCPUs), CPUShares: want.CPUShares,
		MemoryBytes: lesser(want.MemoryBytes, most.MemoryBytes), PidsLimit: lesser(want.PidsLimit, most.PidsLimit),
	}
}

// lesser of two bounds, of which zero is none.
func lesser(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
