package inject

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
)

// Strategies returns the candidates for a configured name, the best first. The
// own device list is first because it works with every engine and needs nothing
// in the sandbox; the runtime is last because it sees a privileged sandbox's
// devices. An unknown name is errdefs.ErrInvalidArgument.
func Strategies(name string, specs cdi.Specs) ([]Strategy, error) {
	all := []Strategy{deviceStrategy{specs}, cdiStrategy{specs}, runtimeStrategy{}}
	if name == StrategyAuto || name == "" {
		return all, nil
	}
	for _, s := range all {
		if s.Name() == name {
			return []Strategy{s}, nil
		}
	}
	return nil, fmt.Errorf("unknown GPU strategy %q; use %s, %s, %s or %s: %w", name,
		StrategyAuto, StrategyDevices, StrategyCDI, StrategyRuntime, errdefs.ErrInvalidArgument)
}

// Settle returns the first strategy that works, as told by try, which runs a
// container in a warm sandbox. If none works the error has every reason and is
// errdefs.ErrFailedPrecondition.
func Settle(ctx context.Context, candidates []Strategy, try func(context.Context, Strategy) error) (Strategy, error) {
	var reasons []error
	for _, s := range candidates {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("choosing a GPU strategy: %w", err)
		}
		err := try(ctx, s)
		if err == nil {
			return s, nil
		}
		reasons = append(reasons, fmt.Errorf("strategy %s: %w", s.Name(), err))
	}
	return nil, fmt.Errorf("no way to give GPUs to containers works here: %w: %w", errdefs.ErrFailedPrecondition, errors.Join(reasons...))
}
