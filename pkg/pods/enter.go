package pods

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Entry leads into a pod.
type Entry struct {
	Spec     *v1.Pod
	View     podstatus.View
	Statuses map[string]v1.ContainerStatus
	// Ready is since when each container is ready, as far as this run of docker-sd knows.
	Ready map[string]time.Time
	// Instances are the engine's ids of the containers that there are.
	Instances map[string]string
	// Sandbox is nil for a pod that has none, yet or any more.
	Sandbox *sandbox.Sandbox
}

// Enter returns what leads into a pod that is kept; ErrNotFound if it is not.
func Enter(m *Manager, uid types.UID) (Entry, error) {
	m.mu.Lock()
	p, known := m.pods[uid]
	m.mu.Unlock()
	if !known {
		return Entry{}, fmt.Errorf("pod %s is not on this node: %w", uid, errdefs.ErrNotFound)
	}
	out := Entry{Spec: p.spec, View: p.view(), Instances: map[string]string{}}
	out.Statuses, _ = p.statuses.Snapshot()
	out.Ready = p.statuses.ReadySince()
	for name := range out.Statuses {
		if instance, _ := p.statuses.Instance(name); instance.ID != "" {
			out.Instances[name] = instance.ID
		}
	}
	if p.record.Load().Stage != lifecycle.StageArchived {
		out.Sandbox = p.sandbox.Load()
	}
	return out, nil
}
