package pods

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

func (s store) heldPath(uid types.UID) string {
	return filepath.Join(s.heldDir.path, string(uid)+".json")
}

// keepsHeld says whether what pods hold has been kept beside their records so far.
func (s store) keepsHeld() bool {
	_, err := os.Stat(s.heldDir.path)
	return err == nil
}

// hold keeps what a pod holds beside its record, from before the record is written
// until nothing of the pod uses it: a record that is damaged later gives none of it to
// others. A pod that holds nothing has no file.
func (s store) hold(uid types.UID, devices json.RawMessage) error {
	if len(devices) == 0 {
		return nil
	}
	sum := sha256.Sum256(devices)
	file, err := json.Marshal(envelope{Version: recordVersion, Checksum: hex.EncodeToString(sum[:]), Record: devices})
	if err == nil {
		if old, err := os.ReadFile(s.heldPath(uid)); err == nil && bytes.Equal(old, file) {
			return nil
		}
		err = makeFolder(s.heldDir.path)
	}
	if err == nil {
		err = replaceFile(s.heldPath(uid), file)
	}
	if err == nil {
		err = s.heldDir.sync()
	}
	if err != nil {
		return fmt.Errorf("keep what pod %s holds: %w", uid, err)
	}
	return nil
}

// letGo ends hold. One that comes back after a loss of power is removed at the next
// start.
func (s store) letGo(uid types.UID) error {
	if err := os.Remove(s.heldPath(uid)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("let go of what pod %s held: %w", uid, err)
	}
	return nil
}

// held returns what hold has kept, nil if there is nothing.
func (s store) held(uid types.UID) (json.RawMessage, error) {
	file, err := os.ReadFile(s.heldPath(uid))
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

// dropHeld removes copies of pods that have no record: their creates were not answered.
func (s store) dropHeld(recorded map[types.UID]bool) error {
	entries, err := os.ReadDir(s.heldDir.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read what pods hold: %w", err)
	}
	var problems []error
	for _, entry := range entries {
		if uid, _ := strings.CutSuffix(entry.Name(), ".json"); !recorded[types.UID(uid)] {
			problems = append(problems, os.Remove(filepath.Join(s.heldDir.path, entry.Name())))
		}
	}
	return errors.Join(problems...)
}

// claimRefused keeps what the pod of a refused record holds from others. Where nobody
// can tell, nothing is given out until the pod is deleted. copies says that there is a
// copy of what pods hold, if they hold anything.
func (m *Manager) claimRefused(uid types.UID, r *record, copies bool) error {
	if r.Stage.Over() {
		return nil
	}
	held, err := m.store.held(uid)
	if err == nil && held != nil {
		r.Devices = held
	}
	// A record of which something could be read has its devices, if it has any: one
	// that is cut has nothing that can be read.
	if known := r.Devices != nil || err == nil && (copies || r.Sandbox != ""); known {
		err = m.accelerators.Claim(string(uid), r.Devices)
		if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
			return err
		}
	}
	m.accelerators.ClaimUnknown(string(uid))
	return errors.Join(err, fmt.Errorf("pod %s may hold any accelerator: none is given out until it is deleted", uid))
}

// letGoOfDevices gives back what the pod holds, once its end is on disk.
func (p *pod) letGoOfDevices(ctx context.Context) {
	if err := p.m.store.letGo(p.spec.UID); err != nil {
		log.G(ctx).WithError(err).Warn("a copy of what the ended pod held is left")
	}
	p.m.accelerators.Release(string(p.spec.UID))
	fault.Point("pods.outcome.released")
}
