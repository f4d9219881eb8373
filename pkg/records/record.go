// Package records keeps on disk what docker-sd has to know of a pod after a crash or a
// loss of power: the pod's record, a copy of what it holds of devices, and its tombstone
// once it is deleted.
package records

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/durable"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// recordVersion of the files; a newer one is refused with words.
const recordVersion = 2

// Record is what is kept of a pod: what was asked, how far its life has come, and how
// it ended. What its containers do is not stored, it is read from the sandbox's engine.
// Records hold secrets and are readable by their owner only.
type Record struct {
	Pod  *v1.Pod      `json:"pod"`
	Data volumes.Data `json:"data"`
	JID  string       `json:"jid"`
	// Stage that the pod has reached.
	Stage lifecycle.Stage `json:"stage"`
	// Sandbox is the pool name of the pod's sandbox.
	Sandbox string `json:"sandbox"`
	// Replaced is the sandbox that was lost, until it is known to be gone.
	Replaced string    `json:"replaced,omitempty"`
	Since    time.Time `json:"since"`
	// Began is the same moment as Since, by the kernel. Records from before it was
	// kept have none.
	Began Moment `json:"began,omitzero"`
	// Devices that the pod holds, by container, until it has ended; opaque to this
	// package.
	Devices json.RawMessage `json:"devices,omitempty"`
	// Grace is how many seconds the containers of a deleted pod have to stop.
	Grace int64 `json:"grace,omitempty"`
	// End is the reason for which the pod is ended, whatever its containers make of
	// being stopped.
	End *v1.ContainerStateTerminated `json:"end,omitempty"`
	// Ended are the last statuses of containers that have ended for good: all of them
	// once the pod has ended, before that those that ended in a sandbox that was lost.
	Ended []v1.ContainerStatus `json:"ended,omitempty"`
}

// envelope is a file: its version, and what it holds with the SHA-256 of that.
type envelope struct {
	Version  int             `json:"version"`
	Checksum string          `json:"checksum"`
	Record   json.RawMessage `json:"record"`
}

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

// Encode returns what the file of a record has, its checksum included.
func Encode(r *Record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return json.Marshal(envelope{Version: recordVersion, Checksum: hex.EncodeToString(sum[:]), Record: body})
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

// Decode reads what Encode returned, or what an earlier version wrote. The error says
// what is wrong with the file and what to do.
func Decode(file []byte) (*Record, error) {
	var e envelope
	if err := json.Unmarshal(file, &e); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	if e.Version > recordVersion {
		return nil, fmt.Errorf("written by a newer docker-sd (version %d, this one reads up to %d): upgrade again, or delete the pod", e.Version, recordVersion)
	}
	if sum := sha256.Sum256(e.Record); hex.EncodeToString(sum[:]) != e.Checksum {
		return nil, errors.New("damaged: its checksum does not match")
	}
	f := recordFile{}
	if err := json.Unmarshal(e.Record, &f); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	r := f.upgraded()
	if r.Pod == nil || podspec.ValidateIdentity(r.Pod) != nil {
		return nil, errors.New("damaged: it names no pod")
	}
	return r, nil
}
