package records

import (
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	v1 "k8s.io/api/core/v1"
)

// recordFile is a record of any version that is read. Version 1 had no stage: a pod's
// stage followed from these fields.
type recordFile struct {
	Record
	// Placed said that the sandbox had existed.
	Placed bool `json:"placed,omitempty"`
	// Former is Replaced.
	Former string `json:"former,omitempty"`
	// Gone said that the pod was deleted.
	Gone bool `json:"gone,omitempty"`
	// Final are the containers' last statuses, Over those of containers that had ended
	// for good in a sandbox that was lost.
	Final []v1.ContainerStatus `json:"final,omitempty"`
	Over  []v1.ContainerStatus `json:"over,omitempty"`
	// Verdict is End.
	Verdict *v1.ContainerStateTerminated `json:"verdict,omitempty"`
	// Archived said that the logs are files.
	Archived bool `json:"archived,omitempty"`
}

// upgraded is the record as this version would have written it.
func (f *recordFile) upgraded() *Record {
	r := f.Record
	if r.Stage != "" {
		return &r
	}
	if f.Former != "" {
		r.Replaced = f.Former
	}
	r.End, r.Ended = f.Verdict, f.Over
	switch {
	case f.Archived:
		r.Stage = lifecycle.StageArchived
	case f.Final != nil:
		r.Stage = lifecycle.StageEnded
	case f.Verdict != nil:
		r.Stage = lifecycle.StageEnding
	case f.Placed:
		r.Stage = lifecycle.StagePlaced
	case f.Former != "":
		r.Stage = lifecycle.StageReplacing
	default:
		r.Stage = lifecycle.StageAdmitted
	}
	if f.Final != nil {
		r.Ended, r.Devices = f.Final, nil
	}
	if f.Gone {
		r.Stage = r.Stage.AfterDelete()
	}
	return &r
}
