package pods

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/log"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// adoptTimeout bounds how long calls are held back for pods that are slow to be
// found again; until then nothing is said about them.
const adoptTimeout = 30 * time.Second

// awaitAdopted waits until the pods' containers have been found again, or for
// adoptTimeout.
func awaitAdopted(ctx context.Context, adopting []*pod) {
	ctx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	for _, p := range adopting {
		select {
		case <-p.located:
		case <-ctx.Done():
			return
		}
	}
}

// Recover takes over the pods of an earlier run: it reads the records and starts
// a goroutine for each. Before any of them runs, keep is told which sandboxes they
// hold; of those with false only the folder. A record that is
// refused is logged and left alone, and so is all that its pod holds until the pod
// is deleted.
func (m *Manager) Recover(ctx context.Context, keep func(sandboxes map[string]bool)) error {
	// A run of an earlier version kept no second copy of what its pods hold.
	copies := m.store.KeepsDevices()
	if err := m.store.Open(); err != nil {
		return err
	}
	tombstones, err := m.store.Tombstones(m.config.Tombstones, time.Now())
	if err != nil {
		return err
	}
	kept, refused, problems, err := m.store.Load()
	if err != nil {
		return err
	}
	claimed := map[string]bool{}
	for uid, r := range refused {
		if _, deleted := tombstones[uid]; deleted {
			kept = append(kept, r)
			delete(refused, uid)
		}
		claimed[sandbox.AssignedName(string(uid))] = true
		if r.Sandbox != "" {
			claimed[r.Sandbox] = true
		}
		problems = errors.Join(problems, m.claimRefused(uid, r, copies))
		if r.Pod != nil {
			m.claims.Use(string(uid), volumes.ClaimFolders(r.Pod))
		}
	}
	for _, r := range kept {
		if r.Sandbox != "" {
			claimed[r.Sandbox] = r.Stage != lifecycle.StageArchived
		}
	}
	recorded := map[types.UID]bool{}
	for uid := range refused {
		recorded[uid] = true
	}
	for _, r := range kept {
		recorded[r.Pod.UID] = true
	}
	// A disk that is full keeps no pod from being taken over.
	problems = errors.Join(problems, m.store.PruneDevices(recorded))
	keep(claimed)
	var adopting []*pod
	for _, r := range kept {
		p, err := m.takeOver(r, tombstones)
		problems = errors.Join(problems, err)
		adopting = append(adopting, p)
	}
	m.mu.Lock()
	m.tombstones, m.refused = tombstones, refused
	m.mu.Unlock()
	for _, p := range adopting {
		m.start(ctx, p, lifecycle.SeenNothing)
	}
	awaitAdopted(ctx, adopting)
	if problems != nil {
		log.G(ctx).WithError(problems).Error("some pods of an earlier run could not be taken over")
	}
	return nil
}

// takeOver makes the pod of a record, which does not run yet, and settles whether
// it was deleted: a crash may have come between its record and its tombstone.
func (m *Manager) takeOver(r *records.Record, tombstones map[types.UID]time.Time) (*pod, error) {
	var problems []error
	if _, deleted := tombstones[r.Pod.UID]; deleted && !r.Stage.Deleting() {
		r.Stage, r.Grace = r.Stage.AfterDelete(), int64(containers.GracePeriod(r.Pod, nil)/time.Second)
	}
	if r.Stage.Deleting() {
		tombstones[r.Pod.UID] = time.Now()
		problems = append(problems, m.store.AddTombstone(r.Pod.UID))
	}
	p := m.resume(r)
	// A pod that is being deleted may still run: its devices are not free yet.
	if !r.Stage.Over() {
		problems = append(problems, m.accelerators.Claim(string(r.Pod.UID), r.Devices), m.store.SaveDevices(r.Pod.UID, r.Devices))
	} else {
		problems = append(problems, m.store.RemoveDevices(r.Pod.UID))
	}
	m.mu.Lock()
	m.pods[r.Pod.UID] = p
	m.mu.Unlock()
	return p, errors.Join(problems...)
}
