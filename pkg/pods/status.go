package pods

import (
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// lostAfter is how long a pod that is only known from polls may wait for its
// create (protocol 2.3).
const lostAfter = 10 * time.Minute

// Status reports on one pod; false means that there is nothing to say, because it
// was deleted, has not been found again yet after a restart, or has a record that
// cannot be read. It never asks an engine and never waits.
func (m *Manager) Status(spec *v1.Pod) (podstatus.Report, bool) {
	m.mu.Lock()
	p, known := m.pods[spec.UID]
	_, deleted := m.tombstones[spec.UID]
	_, refused := m.refused[spec.UID]
	var first time.Time
	if !known && !deleted {
		first = m.firstAsked(spec.UID)
	}
	m.mu.Unlock()
	switch {
	case deleted, refused, known && !closed(p.adopted):
		return podstatus.Report{}, false
	case known:
		statuses, ended := p.statuses.Snapshot()
		p.showTrouble(statuses)
		p.network.ShowTrouble(statuses)
		out := podstatus.ReportOf(spec, statuses, ended)
		out.JID = p.record.Load().JID
		return out, true
	case spec.Status.Phase == v1.PodPending && spec.Annotations["JobID"] == "" && time.Since(first) < lostAfter:
		return podstatus.Uniform(spec, podstatus.Waiting(podstatus.ReasonCreating, "")), true
	}
	return podstatus.Uniform(spec, v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: 137,
		Reason: podstatus.ReasonUnknown, Message: "this node does not know the pod: it was lost"}}), true
}

// maxAsked bounds the memory for pods that are only known from polls.
const maxAsked = 10000

// firstAsked is when a pod without a create was first asked for; the lock is held.
func (m *Manager) firstAsked(uid types.UID) time.Time {
	if at, seen := m.asked[uid]; seen {
		return at
	}
	for old, at := range m.asked {
		if len(m.asked) >= maxAsked || time.Since(at) > 2*lostAfter {
			delete(m.asked, old)
		}
	}
	m.asked[uid] = time.Now()
	return m.asked[uid]
}

// Count returns how many pods are kept.
func (m *Manager) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pods)
}
