package records

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/durable"
	"k8s.io/apimachinery/pkg/types"
)

func (s Store) devicesPath(uid types.UID) string {
	return filepath.Join(s.devicesDir.Path, string(uid)+".json")
}

// KeepsDevices says whether what pods hold has been kept beside their records so far.
func (s Store) KeepsDevices() bool {
	_, err := os.Stat(s.devicesDir.Path)
	return err == nil
}

// SaveDevices keeps what a pod holds beside its record, from before the record is written
// until nothing of the pod uses it: a record that is damaged later gives none of it to
// others. A pod that holds nothing has no file.
func (s Store) SaveDevices(uid types.UID, devices json.RawMessage) error {
	if len(devices) == 0 {
		return nil
	}
	sum := sha256.Sum256(devices)
	file, err := json.Marshal(envelope{Version: recordVersion, Checksum: hex.EncodeToString(sum[:]), Record: devices})
	if err == nil {
		if old, err := os.ReadFile(s.devicesPath(uid)); err == nil && bytes.Equal(old, file) {
			return nil
		}
		err = durable.MakeFolder(s.devicesDir.Path)
	}
	if err == nil {
		err = replaceFile(s.devicesPath(uid), file)
	}
	if err == nil {
		err = s.devicesDir.Sync()
	}
	if err != nil {
		return fmt.Errorf("keep what pod %s holds: %w", uid, err)
	}
	return nil
}

// RemoveDevices ends SaveDevices. A copy that comes back after a loss of power is removed at the next
// start.
func (s Store) RemoveDevices(uid types.UID) error {
	if err := os.Remove(s.devicesPath(uid)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("let go of what pod %s held: %w", uid, err)
	}
	return nil
}

// Devices returns what SaveDevices has kept, nil if there is nothing.
func (s Store) Devices(uid types.UID) (json.RawMessage, error) {
	file, err := os.ReadFile(s.devicesPath(uid))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var e envelope
	if err == nil {
		err = json.Unmarshal(file, &e)
	}
	if err == nil {
		if sum := sha256.Sum256(e.Record); hex.EncodeToString(sum[:]) != e.Checksum {
			err = errors.New("damaged: its checksum does not match")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read what pod %s holds: %w", uid, err)
	}
	return e.Record, nil
}

// PruneDevices removes copies of pods that have no record: their creates were not answered.
// It also makes the folder of the copies, which says that they are kept.
func (s Store) PruneDevices(recorded map[types.UID]bool) error {
	return errors.Join(durable.MakeFolder(s.devicesDir.Path), s.removeUnrecorded(recorded))
}

// removeUnrecorded is the part of PruneDevices that removes.
func (s Store) removeUnrecorded(recorded map[types.UID]bool) error {
	entries, err := os.ReadDir(s.devicesDir.Path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read what pods hold: %w", err)
	}
	var problems []error
	for _, entry := range entries {
		if uid, _ := strings.CutSuffix(entry.Name(), ".json"); !recorded[types.UID(uid)] {
			problems = append(problems, os.Remove(filepath.Join(s.devicesDir.Path, entry.Name())))
		}
	}
	return errors.Join(problems...)
}
