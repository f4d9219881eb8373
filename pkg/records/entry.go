package records

import (
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
)

// Entry is the record of one pod: what is in memory, and the file that follows it. Its
// changes are serialised. Readers never wait for a disk.
type Entry struct {
	store Store
	uid   types.UID
	// saved begins a write of the file; the function that it returns is told how that
	// ended.
	saved func() func(error)

	kept   atomic.Pointer[Record]
	saving sync.Mutex
	// removed says that the file is removed; a delete that comes late must not write it
	// again.
	removed bool
}

// NewEntry returns an entry of r, which is not written yet. saved is called before
// each write of the file, and the function that it returns after it, with its error.
func NewEntry(s Store, r *Record, saved func() func(error)) *Entry {
	e := &Entry{store: s, uid: r.Pod.UID, saved: saved}
	e.kept.Store(r)
	return e
}

// Change edits the record, if that can be saved: it is for intents, which are on
// disk before they are acted on. After an error the record is as it was.
func (e *Entry) Change(edit func(*Record)) error {
	e.saving.Lock()
	defer e.saving.Unlock()
	changed := *e.kept.Load()
	edit(&changed)
	if err := e.save(&changed); err != nil {
		return err
	}
	e.kept.Store(&changed)
	return nil
}

// Note edits the record whether it can be saved or not: it is for what is so
// already, and for a delete, which a full disk must not stop. The error says that the
// file lags behind.
func (e *Entry) Note(edit func(*Record)) error {
	e.saving.Lock()
	defer e.saving.Unlock()
	changed := *e.kept.Load()
	edit(&changed)
	e.kept.Store(&changed)
	return e.save(&changed)
}

// save writes the record; saving is held.
func (e *Entry) save(r *Record) error {
	if e.removed {
		return nil
	}
	done := e.saved()
	err := e.store.Save(r)
	done(err)
	return err
}

// Remove removes the file. Later changes are kept in memory only.
func (e *Entry) Remove() error {
	e.saving.Lock()
	defer e.saving.Unlock()
	err := e.store.remove(e.uid)
	e.removed = err == nil
	return err
}

// Stage is the one that the pod has reached and that has been written down: a caller
// that acts on it must not overtake its write.
func (e *Entry) Stage() lifecycle.Stage {
	e.saving.Lock()
	defer e.saving.Unlock()
	return e.kept.Load().Stage
}

// Load returns a shallow copy of the record as it is in memory.
func (e *Entry) Load() Record { return *e.kept.Load() }
