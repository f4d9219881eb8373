package records

import (
	"encoding/json"
	"os"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// salvage reads of a record that is refused, because it is damaged or of a newer
// version, what its pod holds, as far as that can be read at all. The pod may run:
// no other pod gets any of it until the pod is deleted.
func (s Store) salvage(uid types.UID) *Record {
	bare := &Record{Pod: &v1.Pod{}, Stage: lifecycle.StageAdmitted}
	bare.Pod.UID = uid
	file, err := os.ReadFile(s.RecordPath(uid))
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
	f := recordFile{Record: Record{Since: time.Now(), Began: Now()}}
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
		if !sandbox.IsName(*name) {
			*name = ""
		}
	}
	return r
}
