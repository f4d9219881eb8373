package accelerators

import (
	"fmt"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

// strategy is the way in which NVIDIA's devices get into containers. It is
// chosen when the first devices are seen, which may be after pods have started.
type strategy struct {
	mu     sync.Mutex
	chosen inject.Strategy
	why    error
}

var _ inject.Strategy = &strategy{}

// get is the strategy that was chosen, or why there is none.
func (s *strategy) get() (inject.Strategy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.chosen != nil:
		return s.chosen, nil
	case s.why != nil:
		return nil, s.why
	}
	return nil, fmt.Errorf("no way to give GPUs to containers has been chosen yet: %w", errdefs.ErrUnavailable)
}

// set is the outcome of a choice: a strategy, or why there is none.
func (s *strategy) set(chosen inject.Strategy, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chosen, s.why = chosen, why
}

// Name is the chosen strategy's, or empty.
func (s *strategy) Name() string {
	chosen, err := s.get()
	if err != nil {
		return ""
	}
	return chosen.Name()
}

// Sandbox is the chosen strategy's.
func (s *strategy) Sandbox(devices []gpu.Device) (inject.Edits, error) {
	chosen, err := s.get()
	if err != nil {
		return inject.Edits{}, err
	}
	return chosen.Sandbox(devices)
}

// Container is the chosen strategy's.
func (s *strategy) Container(devices []gpu.Device) (inject.Edits, error) {
	chosen, err := s.get()
	if err != nil {
		return inject.Edits{}, err
	}
	return chosen.Container(devices)
}
