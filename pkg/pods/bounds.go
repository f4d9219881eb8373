package pods

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Bounds for what callers could pile up without running anything: pods that have
// ended and that nobody deletes, and deletes of pods that never were.
const (
	maxKept   = 10_000
	maxBuried = 100_000
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
	for uid, at := range m.buried {
		if _, known := m.pods[uid]; !known && time.Since(at) > m.config.Tombstones {
			out = append(out, uid)
			delete(m.buried, uid)
		}
	}
	return out
}
