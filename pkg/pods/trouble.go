package pods

import (
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	v1 "k8s.io/api/core/v1"
)

// showTrouble adds to statuses what is wrong with the devices that containers
// hold, and changes no state. The message of a container that waits or has ended
// survives on its way (protocol 2.2); one that runs has none, so the field that
// Kubernetes has for the health of devices carries it.
func (p *pod) showTrouble(statuses map[string]v1.ContainerStatus) {
	for name, status := range statuses {
		devices, trouble := p.node.accelerators.Health(string(p.spec.UID), name)
		if trouble == "" {
			continue
		}
		status.AllocatedResourcesStatus = devices
		podstatus.AddTrouble(&status, trouble)
		statuses[name] = status
	}
}

// keepTrouble makes what showTrouble adds last: a pod that has ended holds no
// devices any more.
func (p *pod) keepTrouble() {
	statuses, _ := p.statuses.Snapshot()
	p.showTrouble(statuses)
	for name, shown := range statuses {
		p.statuses.Update(name, func(s *v1.ContainerStatus) {
			s.State, s.AllocatedResourcesStatus = shown.State, shown.AllocatedResourcesStatus
		})
	}
}
