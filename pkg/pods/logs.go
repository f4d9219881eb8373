package pods

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// FindLogs looks a log up without reading it, so that a refusal comes before
// the first byte. Errors: ErrInvalidArgument, ErrNotFound, and ErrUnavailable as
// long as the containers of an earlier run have not been found again.
func (m *Manager) FindLogs(query podlogs.Query) (*podlogs.Source, error) {
	if err := podspec.ValidateUID(string(query.UID)); err != nil {
		return nil, err
	}
	if query.Container != "" {
		if err := podspec.ValidateContainerName(query.Container); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	p, known := m.pods[query.UID]
	m.mu.Unlock()
	if !known || query.Namespace != "" && query.Namespace != p.spec.Namespace {
		return nil, fmt.Errorf("pod %s is not on this node: %w", query.UID, errdefs.ErrNotFound)
	}
	if query.Container == "" {
		if len(p.spec.Spec.Containers) != 1 {
			return nil, fmt.Errorf("the pod has %d containers, name one: %w", len(p.spec.Spec.Containers), errdefs.ErrInvalidArgument)
		}
		query.Container = p.spec.Spec.Containers[0].Name
	}
	if !closed(p.located) {
		return nil, fmt.Errorf("the logs of pod %s are looked for after a start of docker-sd, try again: %w", query.UID, errdefs.ErrUnavailable)
	}
	return p.logs.Open(query)
}
