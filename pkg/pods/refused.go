package pods

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// salvage reads of a record that is refused, because it is damaged or of a newer
// version, what its pod holds, as far as that can be read at all. The pod may run:
// nobody else gets any of it until the pod is deleted.
func (s store) salvage(uid types.UID) *record {
	bare := &record{Pod: &v1.Pod{}, Stage: lifecycle.StageAdmitted}
	bare.Pod.UID = uid
	file, err := os.ReadFile(s.recordPath(uid))
	if err != nil {
		return bare
	}
	var e envelope
	if err := json.Unmarshal(file, &e); err != nil && e.Record == nil {
		return bare
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(e.Record, &fields) != nil {
		return bare
	}
	f := recordFile{record: record{Since: time.Now(), Began: now()}}
	for key, to := range map[string]any{"pod": &f.Pod, "stage": &f.Stage, "sandbox": &f.Sandbox, "replaced": &f.Replaced,
		"ended": &f.Ended, "devices": &f.Devices, "placed": &f.Placed, "former": &f.Former, "final": &f.Final, "archived": &f.Archived} {
		// One that means something else in that version is as good as none.
		_ = json.Unmarshal(fields[key], to)
	}
	r := f.upgraded()
	if r.Pod != nil && r.Pod.UID != uid {
		return bare // another pod's
	}
	if r.Pod == nil || podspec.ValidateIdentity(r.Pod) != nil {
		r.Pod = bare.Pod
	}
	for _, name := range []*string{&r.Sandbox, &r.Replaced} {
		if !pool.IsName(*name) {
			*name = ""
		}
	}
	return r
}

// errRefused is the answer to a create of a pod whose record is refused: its
// containers may run.
func errRefused(uid types.UID) error {
	return fmt.Errorf("this node has pod %s already and cannot read its record, see the log of docker-sd there: "+
		"delete the pod, or bring back the docker-sd that wrote it: %w", uid, errdefs.ErrFailedPrecondition)
}

// condemnRefused makes a pod that is being deleted of a refused record, nil if
// there is none. The lock is held.
func (m *Manager) condemnRefused(uid types.UID, grace *int64) *pod {
	r := m.refused[uid]
	if r == nil {
		return nil
	}
	delete(m.refused, uid)
	r.Stage, r.Grace = r.Stage.AfterDelete(), int64(gracePeriod(r.Pod, grace)/time.Second)
	p := m.resume(r)
	m.pods[uid] = p
	return p
}

// removeRefused has a pod that condemnRefused made removed, as far as it is known.
func (m *Manager) removeRefused(ctx context.Context, p *pod) {
	if err := p.note(func(*record) {}); err != nil {
		log.G(ctx).WithError(err).Warn("a delete in progress would not survive a restart")
	}
	m.start(ctx, p, lifecycle.SeenNothing)
}
