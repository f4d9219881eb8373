package pods

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Create admits a pod and starts it in the background; the answer is the pod's
// JID. A pod that is known already starts nothing and gets the same answer
// (protocol 1.4). Errors: ErrInvalidArgument names the field at fault,
// ErrFailedPrecondition is a deleted UID or one whose record is refused, ErrResourceExhausted a full node.
func (m *Manager) Create(ctx context.Context, spec *v1.Pod, data volumes.Data) (string, error) {
	spec = podspec.WithDefaults(spec, m.config.Node)
	if err := m.validate(ctx, spec, data); err != nil {
		// The configuration may have allowed more when the pod was created.
		if p := m.known(spec.UID); p != nil {
			return p.answer(ctx)
		}
		return "", err
	}
	p, fresh, err := m.register(spec)
	if err != nil {
		return "", err
	}
	if !fresh {
		return p.answer(ctx)
	}
	p.admitErr = m.admit(ctx, p, data)
	close(p.admitted)
	return p.record.Load().JID, p.admitErr
}

// known is the pod of that UID, nil if there is none.
func (m *Manager) known(uid types.UID) *pod {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pods[uid]
}

// answer is that of the create that admitted the pod.
func (p *pod) answer(ctx context.Context) (string, error) {
	select {
	case <-p.admitted:
		return p.record.Load().JID, p.admitErr
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// validate returns ErrInvalidArgument with all that is wrong with a pod, and logs what is
// not supported.
func (m *Manager) validate(ctx context.Context, spec *v1.Pod, data volumes.Data) error {
	warnings, problems := volumes.Validate(spec, data, m.config.Volumes)
	var faults field.ErrorList
	if !m.config.Network.Off {
		_, more, wrong := clusternet.Read(spec, m.config.Network)
		warnings, faults = append(warnings, more...), wrong
	}
	for _, warning := range warnings {
		log.G(ctx).WithField("pod", spec.UID).Warn(warning)
	}
	return podspec.Refusal(slices.Concat(podspec.Validate(spec, m.config.Node), problems, faults))
}

// register finds a known pod or makes room for a new one.
func (m *Manager) register(spec *v1.Pod) (p *pod, fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, deleted := m.tombstones[spec.UID]; deleted && time.Since(at) < m.config.Tombstones {
		return nil, false, fmt.Errorf("pod %s was deleted, a create that comes after its delete is refused: %w",
			spec.UID, errdefs.ErrFailedPrecondition)
	}
	if p, known := m.pods[spec.UID]; known {
		return p, false, nil
	}
	if m.refused[spec.UID] != nil {
		return nil, false, errRefused(spec.UID)
	}
	if active := m.active(); active >= m.config.MaxPods {
		return nil, false, fmt.Errorf("this node runs %d pods, as many as MaxPods allows: %w", active, errdefs.ErrResourceExhausted)
	}
	if len(m.pods) >= max(maxKept, m.config.MaxPods) {
		return nil, false, fmt.Errorf("this node keeps the results of %d pods that have ended, delete some: %w", len(m.pods), errdefs.ErrResourceExhausted)
	}
	if err := m.portConflict(podspec.HostPorts(spec)); err != nil {
		return nil, false, err
	}
	p = m.newPod(spec)
	close(p.adopted) // nothing to find: it is new
	close(p.located)
	m.pods[spec.UID] = p
	delete(m.tombstones, spec.UID)
	return p, true, nil
}

// admit reserves what the pod needs, writes its record, and only then starts it.
func (m *Manager) admit(ctx context.Context, p *pod, data volumes.Data) error {
	uid := p.spec.UID
	fault.Point("pods.create.asked")
	devices, err := m.accelerators.Reserve(p.spec)
	if err != nil {
		m.drop(p)
		return err
	}
	fault.Point("pods.create.equipped")
	p.claim = reserve(p, false)
	fault.Point("pods.create.claimed")
	// A tombstone that has served would end the pod at the next start.
	if err = errors.Join(m.store.RemoveTombstone(uid), m.store.SaveDevices(uid, devices)); err == nil {
		err = p.record.Change(func(r *records.Record) {
			r.Data, r.Devices = data, devices
			// Not the name of the claim: a sandbox that is given back keeps that for the next pod.
			r.JID, r.Sandbox = sandbox.AssignedName(string(uid)), p.claim.Name
			if p.claim.Warm() {
				r.Stage = lifecycle.StagePlaced
			}
		})
	}
	if err != nil {
		err = errors.Join(err, m.store.RemoveDevices(uid))
		m.accelerators.Release(string(uid))
		m.sandboxes.Return(p.claim)
		m.drop(p) // last: a repeated create must not get what is being given back
		return fmt.Errorf("the pod was refused because its record could not be written: %w: %w", err, errdefs.ErrUnavailable)
	}
	fault.Point("pods.create.recorded")
	m.start(ctx, p, lifecycle.SeenClaimed)
	fault.Point("pods.create.started")
	return nil
}
