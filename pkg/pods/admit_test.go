package pods

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// unplaced sandboxes can be claimed, and are never made.
type unplaced struct{ Sandboxes }

func (unplaced) Reserve(ports []engine.Port) *pool.Claim {
	return pool.New(pool.Config{}, nil).Reserve(ports)
}

func (unplaced) Return(*pool.Claim) {}

// watchful devices look whether the pod that gives them back can be created again
// meanwhile.
type watchful struct {
	ailing
	released func(uid string)
}

func (w watchful) Release(uid string) { w.released(uid) }

// TestCreateThatCannotBeSaved: its devices are given back before another create of
// the pod can get them, and a tombstone that has served does not outlive it.
func TestCreateThatCannotBeSaved(t *testing.T) {
	dir := t.TempDir()
	s := records.New(dir)
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	known := false
	var m *Manager
	m = New(Config{Dir: dir, MaxPods: 1, Tombstones: time.Hour}, unplaced{}, nil, watchful{released: func(string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		known = m.pods[testUID] != nil
	}})
	defer m.Close()
	if err := s.AddTombstone(testUID); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "records")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(t.Context(), plainPod(), volumes.Data{}); !errdefs.IsUnavailable(err) {
		t.Fatalf("Create() = %v", err)
	}
	if !known {
		t.Error("its devices were not given back as long as the pod was known")
	}
	if m.Count() != 0 {
		t.Error("the pod is kept")
	}
	if _, err := os.Stat(tombstonePath(dir, testUID)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its tombstone: %v", err)
	}
}
