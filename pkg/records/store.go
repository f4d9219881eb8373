package records

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/durable"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"k8s.io/apimachinery/pkg/types"
)

// Store keeps one file per pod and one per tombstone. What its functions have done
// outlives a loss of power when they return.
type Store struct {
	recordDir, tombstoneDir *durable.Folder
	// devicesDir has what pods hold of accelerators once more, for when a record is damaged.
	devicesDir *durable.Folder
}

// New returns a store in the folder dir. It touches no file before Open.
func New(dir string) Store {
	return Store{recordDir: &durable.Folder{Path: filepath.Join(dir, "records")}, tombstoneDir: &durable.Folder{Path: filepath.Join(dir, "tombstones")},
		devicesDir: &durable.Folder{Path: filepath.Join(dir, "held")}}
}

// RecordPath is the file of a pod's record.
func (s Store) RecordPath(uid types.UID) string {
	return filepath.Join(s.recordDir.Path, string(uid)+".json")
}

func (s Store) tombstonePath(uid types.UID) string {
	return filepath.Join(s.tombstoneDir.Path, string(uid))
}

// Open makes the folders that are missing.
func (s Store) Open() error {
	for _, dir := range []string{s.recordDir.Path, s.tombstoneDir.Path} {
		if err := durable.MakeFolder(dir); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
	}
	return nil
}

// Save writes a record so that a crash or a loss of power leaves the old one or the
// new one.
func (s Store) Save(r *Record) error {
	file, err := Encode(r)
	if err != nil {
		return fmt.Errorf("encode the record of pod %s: %w", r.Pod.UID, err)
	}
	if err = replaceFile(s.RecordPath(r.Pod.UID), file); err == nil {
		err = s.recordDir.Sync()
	}
	if err != nil {
		return fmt.Errorf("save the record of pod %s: %w", r.Pod.UID, err)
	}
	return nil
}

// replaceFile keeps what it is writing beside the file: a crash must not leave a
// record in TMPDIR, where it is not looked for again.
func replaceFile(path string, body []byte) error {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if _, err := file.Write(body); err != nil {
		return err
	}
	fault.Point("pods.record.pending")
	return file.CloseAtomicallyReplace()
}

// remove removes a record, if there is one.
func (s Store) remove(uid types.UID) error {
	err := os.Remove(s.RecordPath(uid))
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = s.recordDir.Sync()
	}
	if err != nil {
		return fmt.Errorf("remove the record of pod %s: %w", uid, err)
	}
	return nil
}

// Load reads every record. Those that it refuses are reported beside the others
// (problem), as far as they can be read, and their files are left for a person to
// look at. err means that nothing could be read at all.
func (s Store) Load() (out []*Record, refused map[types.UID]*Record, problem, err error) {
	refused = map[types.UID]*Record{}
	entries, err := os.ReadDir(s.recordDir.Path)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the records: %w", err)
	}
	var problems []error
	for _, entry := range entries {
		path := filepath.Join(s.recordDir.Path, entry.Name())
		if !strings.HasSuffix(entry.Name(), ".json") || strings.HasPrefix(entry.Name(), ".") {
			// A temporary file of a write that a crash cut short; it may hold secrets.
			_ = os.Remove(path)
			continue
		}
		r, err := readRecord(path)
		if err == nil && path != s.RecordPath(r.Pod.UID) {
			err = fmt.Errorf("the record of pod %s under another name: remove the file", r.Pod.UID)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("record %s: %w", path, err))
			uid := types.UID(strings.TrimSuffix(entry.Name(), ".json"))
			refused[uid] = s.salvage(uid)
			continue
		}
		out = append(out, r)
	}
	return out, refused, errors.Join(problems...), nil
}

// readRecord reads one file.
func readRecord(path string) (*Record, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Decode(file)
}
