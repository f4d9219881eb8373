package pods

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// showTrouble adds to statuses what is wrong with the devices that containers
// hold, and changes no state. The message of a container that waits or has ended
// survives on its way (protocol 2.2); one that runs has none, so the field that
// Kubernetes has for the health of devices carries it.
func (p *pod) showTrouble(statuses map[string]v1.ContainerStatus) {
	for name, status := range statuses {
		devices, trouble := p.m.accelerators.Health(string(p.spec.UID), name)
		if trouble == "" {
			continue
		}
		status.AllocatedResourcesStatus = devices
		switch {
		case status.State.Waiting != nil:
			status.State.Waiting.Message = withTrouble(status.State.Waiting.Message, trouble)
		case status.State.Terminated != nil:
			status.State.Terminated.Message = withTrouble(status.State.Terminated.Message, trouble)
		}
		statuses[name] = status
	}
}

func withTrouble(message, trouble string) string {
	switch {
	case message == "":
		return trouble
	case strings.Contains(message, trouble):
		return message
	}
	return message + "; " + trouble
}

// keepTrouble makes what showTrouble adds last: a pod that has ended holds no
// devices any more.
func (p *pod) keepTrouble() {
	statuses, _ := p.snapshot()
	p.showTrouble(statuses)
	for name, shown := range statuses {
		p.update(name, func(s *v1.ContainerStatus) {
			s.State, s.AllocatedResourcesStatus = shown.State, shown.AllocatedResourcesStatus
		})
	}
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
