package pods

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
)

// Delete ends a pod and returns at once; the teardown goes on behind it and is
// repeated until nothing is left. A pod that is not known, or being deleted
// already, is success (protocol 4). grace is nil or the delete's own period in
// seconds.
func (m *Manager) Delete(ctx context.Context, uid types.UID, grace *int64) error {
	if err := podspec.ValidateUID(string(uid)); err != nil {
		return err
	}
	m.mu.Lock()
	p, known := m.pods[uid]
	var refused *pod
	if !known {
		refused = m.podOfRefused(uid, grace)
	}
	expired := m.expired()
	_, again := m.tombstones[uid]
	full := !known && refused == nil && !again && len(m.tombstones) >= maxTombstones
	if !full {
		m.tombstones[uid] = time.Now()
	}
	m.mu.Unlock()
	for _, old := range expired {
		m.store.DropTombstone(old)
	}
	if full {
		return fmt.Errorf("%d deleted pods are remembered, too many for one that this node never had; try again after TombstonePeriod: %w",
			maxTombstones, errdefs.ErrResourceExhausted)
	}
	ctx = log.WithLogger(ctx, log.G(ctx).WithField("pod", uid))
	fault.Point("pods.delete.asked")
	if known {
		if err := m.recordDelete(ctx, p, grace); err != nil {
			return err
		}
	}
	if refused != nil {
		m.removeRefused(ctx, refused)
	}
	if err := m.store.AddTombstone(uid); err != nil {
		// A full disk must not keep a pod alive; the tombstone holds in memory.
		log.G(ctx).WithError(err).Warn("a delete will be forgotten at the next restart")
	}
	fault.Point("pods.delete.buried")
	return nil
}

// recordDelete writes down that a pod is to go, and tells its goroutine.
func (m *Manager) recordDelete(ctx context.Context, p *pod, grace *int64) error {
	select {
	case <-p.admitted:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.admitErr != nil || p.record.Load().Stage.Deleting() {
		return nil
	}
	err := p.record.Note(func(r *records.Record) {
		r.Stage, r.Grace = r.Stage.AfterDelete(), int64(containers.GracePeriod(p.spec, grace)/time.Second)
	})
	if err != nil {
		log.G(ctx).WithError(err).Warn("a delete in progress would not survive a restart")
	}
	p.events.Tell(log.WithLogger(p.life, log.G(ctx).WithFields(fieldsOf(p.spec))), EventDeleting, "", log.Fields{"grace": p.record.Load().Grace})
	fault.Point("pods.delete.recorded")
	p.cancel(errDeleted)
	return nil
}
