package accelerators

import (
	"context"
	"errors"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// loader is a driver that tells what its devices do.
type loader interface {
	Loads(ctx context.Context) ([]gpu.Load, error)
}

// Loads tells what the devices do now whose drivers tell that. With an error it has what
// the other drivers told.
func (a *Accelerators) Loads(ctx context.Context) ([]gpu.Load, error) {
	var out []gpu.Load
	var problems []error
	for _, l := range a.loaders {
		loads, err := l.Loads(ctx)
		out, problems = append(out, loads...), append(problems, err)
	}
	return out, errors.Join(problems...)
}

// Held tells which devices a pod holds, by container.
func (a *Accelerators) Held(podUID string) gpu.Assignment { return a.ledger.Held(podUID) }
