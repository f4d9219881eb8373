package pods

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

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// recordVersion of the files; a newer one is refused with words.
const recordVersion = 2

// record is what is kept of a pod: what was asked, how far its life has come, and how
// it ended. What its containers do is not stored, it is read from the sandbox's engine.
// Records hold secrets and are readable by their owner only.
type record struct {
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
	Began moment `json:"began,omitzero"`
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

type envelope struct {
	Version  int             `json:"version"`
	Checksum string          `json:"checksum"`
	Record   json.RawMessage `json:"record"`
}

// store keeps one file per pod and one per tombstone. What its functions have done
// outlives a loss of power when they return.
type store struct {
	dir                     string
	recordDir, tombstoneDir *folder
	// heldDir has what pods hold of accelerators once more, for when a record is damaged.
	heldDir *folder
}

func newStore(dir string) store {
	return store{dir: dir, recordDir: &folder{path: filepath.Join(dir, "records")}, tombstoneDir: &folder{path: filepath.Join(dir, "tombstones")},
		heldDir: &folder{path: filepath.Join(dir, "held")}}
}

func (s store) recordPath(uid types.UID) string {
	return filepath.Join(s.recordDir.path, string(uid)+".json")
}

func (s store) tombstonePath(uid types.UID) string {
	return filepath.Join(s.tombstoneDir.path, string(uid))
}

func (s store) open() error {
	for _, dir := range []string{s.recordDir.path, s.tombstoneDir.path} {
		if err := makeFolder(dir); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
	}
	return nil
}

// save writes a record so that a crash or a loss of power leaves the old one or the
// new one.
func (s store) save(r *record) error {
	file, err := encodeRecord(r)
	if err != nil {
		return fmt.Errorf("encode the record of pod %s: %w", r.Pod.UID, err)
	}
	if err = replaceFile(s.recordPath(r.Pod.UID), file); err == nil {
		err = s.recordDir.sync()
	}
	if err != nil {
		return fmt.Errorf("save the record of pod %s: %w", r.Pod.UID, err)
	}
	return nil
}

func encodeRecord(r *record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return json.Marshal(envelope{Version: recordVersion, Checksum: hex.EncodeToString(sum[:]), Record: body})
}

// replaceFile keeps what it is writing beside the file: a crash must not leave a
// record in TMPDIR, where nobody looks for it again.
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

func (s store) remove(uid types.UID) error {
	err := os.Remove(s.recordPath(uid))
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = s.recordDir.sync()
	}
	if err != nil {
		return fmt.Errorf("remove the record of pod %s: %w", uid, err)
	}
	return nil
}

// load reads every record. Those that it refuses are reported beside the others
// (problem), as far as they can be read, and their files are left for a person to
// look at. err means that nothing could be read at all.
func (s store) load() (out []*record, refused map[types.UID]*record, problem, err error) {
	refused = map[types.UID]*record{}
	entries, err := os.ReadDir(s.recordDir.path)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the records: %w", err)
	}
	var problems []error
	for _, entry := range entries {
		path := filepath.Join(s.recordDir.path, entry.Name())
		if !strings.HasSuffix(entry.Name(), ".json") || strings.HasPrefix(entry.Name(), ".") {
			// A temporary file of a write that a crash cut short; it may hold secrets.
			_ = os.Remove(path)
			continue
		}
		r, err := readRecord(path)
		if err == nil && path != s.recordPath(r.Pod.UID) {
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

func readRecord(path string) (*record, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeRecord(file)
}

func decodeRecord(file []byte) (*record, error) {
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

// bury remembers that a pod was deleted, so that a create that comes late is
// refused (protocol 1.4).
func (s store) bury(uid types.UID) error {
	f, err := os.OpenFile(s.tombstonePath(uid), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), s.tombstoneDir.sync())
	}
	if err != nil {
		return fmt.Errorf("remember that pod %s was deleted: %w", uid, err)
	}
	return nil
}

// tombstoneLimit is the age by the clock from which a tombstone is dropped, unless
// it is kept longer than that.
const tombstoneLimit = 24 * time.Hour

// tombstones returns the deleted pods. Each is refused for its whole period again:
// its age by the clock says little once that was set. Only very old ones are
// dropped here.
func (s store) tombstones(keep time.Duration, now time.Time) (map[types.UID]time.Time, error) {
	entries, err := os.ReadDir(s.tombstoneDir.path)
	if err != nil {
		return nil, fmt.Errorf("read the tombstones: %w", err)
	}
	out := map[types.UID]time.Time{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // removed meanwhile
		}
		uid := types.UID(entry.Name())
		if now.Sub(info.ModTime()) > max(keep, tombstoneLimit) {
			s.unbury(uid)
			continue
		}
		out[uid] = now
	}
	return out, nil
}

// unbury forgets a tombstone; one that stays is dropped at the next start.
func (s store) unbury(uid types.UID) { _ = os.Remove(s.tombstonePath(uid)) }

// exhume is unbury for a pod that is created once more: its tombstone must not come
// back after a loss of power.
func (s store) exhume(uid types.UID) error {
	err := os.Remove(s.tombstonePath(uid))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.tombstoneDir.sync()
	}
	if err != nil {
		return fmt.Errorf("forget that pod %s was deleted: %w", uid, err)
	}
	return nil
}
