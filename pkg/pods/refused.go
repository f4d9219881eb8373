package pods

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
)

// errRefused is the answer to a create of a pod whose record is refused: its
// containers may run.
func errRefused(uid types.UID) error {
	return fmt.Errorf("this node has pod %s already and cannot read its record, see the log of docker-sd there: "+
		"delete the pod, or bring back the docker-sd that wrote it: %w", uid, errdefs.ErrFailedPrecondition)
}

// podOfRefused makes a pod that is being deleted of a refused record, nil if
// there is none. The lock is held.
func (m *Manager) podOfRefused(uid types.UID, grace *int64) *pod {
	r := m.refused[uid]
	if r == nil {
		return nil
	}
	delete(m.refused, uid)
	r.Stage, r.Grace = r.Stage.AfterDelete(), int64(containers.GracePeriod(r.Pod, grace)/time.Second)
	p := m.resume(r)
	m.pods[uid] = p
	return p
}

// removeRefused has a pod that podOfRefused made removed, as far as it is known.
func (m *Manager) removeRefused(ctx context.Context, p *pod) {
	if err := p.record.Note(func(*records.Record) {}); err != nil {
		log.G(ctx).WithError(err).Warn("a delete in progress would not survive a restart")
	}
	m.start(ctx, p, lifecycle.SeenNothing)
}

// claimRefused keeps what the pod of a refused record holds from others. Where
// that is not known, nothing is given out until the pod is deleted. copies says that there is a
// copy of what pods hold, if they hold anything.
func (m *Manager) claimRefused(uid types.UID, r *records.Record, copies bool) error {
	if r.Stage.Over() {
		return nil
	}
	held, err := m.store.Devices(uid)
	if err == nil && held != nil {
		r.Devices = held
	}
	// A record of which something could be read has its devices, if it has any: one
	// that is cut has nothing that can be read.
	if known := r.Devices != nil || err == nil && (copies || r.Sandbox != ""); known {
		err = m.accelerators.Claim(string(uid), r.Devices)
		if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
			return err
		}
	}
	m.accelerators.ClaimUnknown(string(uid))
	return errors.Join(err, fmt.Errorf("pod %s may hold any accelerator: none is given out until it is deleted", uid))
}
