package records

import (
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
)

// TestRecordOfAFullDisk: an intent that cannot be saved is not acted on, a fact
// and a delete hold all the same.
func TestRecordOfAFullDisk(t *testing.T) {
	p := NewEntry(New(filepath.Join(t.TempDir(), "missing")), &Record{Pod: fullRecord().Pod}, func() func(error) { return func(error) {} })
	if err := p.Change(func(r *Record) { r.Sandbox = "intended" }); err == nil {
		t.Error("change: no error although nothing can be saved")
	}
	if got := p.Load().Sandbox; got != "" {
		t.Errorf("after a change that was not saved the sandbox is %q, want none", got)
	}
	if err := p.Note(func(r *Record) { r.Sandbox, r.Stage = "there", lifecycle.StageRemoving }); err == nil {
		t.Error("note: no error although nothing can be saved")
	}
	if r := p.Load(); r.Sandbox != "there" || r.Stage != lifecycle.StageRemoving {
		t.Errorf("after a note the record has sandbox %q, stage %q", r.Sandbox, r.Stage)
	}
}
