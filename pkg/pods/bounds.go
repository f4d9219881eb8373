package pods

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"k8s.io/apimachinery/pkg/types"
)

// Bounds for what callers could pile up without running anything: pods that have
// ended and are not deleted, and deletes of pods that never were.
const (
	maxKept       = 10_000
	maxTombstones = 100_000
)

// active counts the pods that have not ended, as the scheduler does; the lock is held.
func (m *Manager) active() int {
	n := 0
	for _, p := range m.pods {
		if !p.statuses.HasEnded() {
			n++
		}
	}
	return n
}

// expired lists tombstones that have served; the lock is held.
func (m *Manager) expired() []types.UID {
	var out []types.UID
	for uid, at := range m.tombstones {
		if _, known := m.pods[uid]; !known && time.Since(at) > m.config.Tombstones {
			out = append(out, uid)
			delete(m.tombstones, uid)
		}
	}
	return out
}

// portConflict finds a pod that holds one of the ports; the lock is held. One that
// has ended holds none for the scheduler, and lets go of them here with its sandbox.
func (m *Manager) portConflict(wanted []engine.Port) error {
	for uid, other := range m.pods {
		if other.statuses.HasEnded() {
			continue
		}
		for _, held := range podspec.HostPorts(other.spec) {
			for _, port := range wanted {
				if podspec.SamePort(held, port) {
					return fmt.Errorf("hostPort %d/%s is held by pod %s on this node: %w", port.Host, port.Protocol, uid, errdefs.ErrConflict)
				}
			}
		}
	}
	return nil
}
