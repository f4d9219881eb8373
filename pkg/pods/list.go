package pods

import (
	"slices"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"k8s.io/apimachinery/pkg/types"
)

// List returns every pod that is kept, ordered by namespace and name. It asks no
// engine.
func (m *Manager) List() []podstatus.View {
	m.mu.Lock()
	kept := make([]*pod, 0, len(m.pods))
	for _, p := range m.pods {
		kept = append(kept, p)
	}
	m.mu.Unlock()
	out := make([]podstatus.View, 0, len(kept))
	for _, p := range kept {
		out = append(out, p.view())
	}
	slices.SortFunc(out, func(a, b podstatus.View) int {
		return strings.Compare(a.Namespace+"/"+a.Name+"/"+string(a.UID), b.Namespace+"/"+b.Name+"/"+string(b.UID))
	})
	return out
}

// view is what operators see of the pod.
func (p *pod) view() podstatus.View {
	statuses, ended := p.statuses.Snapshot()
	r := p.record.Load()
	out := podstatus.View{UID: p.spec.UID, Namespace: p.spec.Namespace, Name: p.spec.Name, JID: r.JID, Created: r.Since,
		Phase: podstatus.PhaseOf(p.spec, statuses, ended, r.Stage.Deleting()), Containers: p.statuses.Views(p.spec)}
	if s := p.sandbox.Load(); s != nil && r.Stage != lifecycle.StageArchived {
		out.Sandbox, out.ContainerID, out.IP, out.Booted = s.Name, s.ID, s.IP, s.Booted
	}
	if !ended {
		out.Network = p.network.View()
	}
	return out
}

// OwnerOf tells whose sandbox a container of the host's engine is, by its id.
func (m *Manager) OwnerOf(container string) (types.UID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for uid, p := range m.pods {
		if s := p.sandbox.Load(); s != nil && s.ID == container {
			return uid, true
		}
	}
	return "", false
}

// ImagesInUse lists the images of all pods that have not ended, as they name them.
func (m *Manager) ImagesInUse() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, p := range m.pods {
		if p.statuses.HasEnded() {
			continue
		}
		for _, c := range podspec.Containers(p.spec) {
			out = append(out, c.Image)
		}
	}
	return out
}
