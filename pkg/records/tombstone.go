package records

import (
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// AddTombstone remembers that a pod was deleted, so that a create that comes late is
// refused (protocol 1.4).
func (s Store) AddTombstone(uid types.UID) error {
	f, err := os.OpenFile(s.tombstonePath(uid), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), s.tombstoneDir.Sync())
	}
	if err != nil {
		return fmt.Errorf("remember that pod %s was deleted: %w", uid, err)
	}
	return nil
}

// tombstoneLimit is the age by the clock from which a tombstone is dropped, unless
// it is kept longer than that.
const tombstoneLimit = 24 * time.Hour

// Tombstones returns the deleted pods. Each is refused for its whole period again:
// its age by the clock says little once that was set. Only very old ones are
// dropped here.
func (s Store) Tombstones(keep time.Duration, now time.Time) (map[types.UID]time.Time, error) {
	entries, err := os.ReadDir(s.tombstoneDir.Path)
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
			s.DropTombstone(uid)
			continue
		}
		out[uid] = now
	}
	return out, nil
}

// DropTombstone forgets a tombstone; one that stays is dropped at the next start.
func (s Store) DropTombstone(uid types.UID) { _ = os.Remove(s.tombstonePath(uid)) }

// RemoveTombstone is DropTombstone for a pod that is created once more: its tombstone must not come
// back after a loss of power.
func (s Store) RemoveTombstone(uid types.UID) error {
	err := os.Remove(s.tombstonePath(uid))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.tombstoneDir.Sync()
	}
	if err != nil {
		return fmt.Errorf("forget that pod %s was deleted: %w", uid, err)
	}
	return nil
}
