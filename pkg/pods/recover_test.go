package pods

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
)

// stuck sandboxes cannot be removed.
type stuck struct{ Sandboxes }

func (stuck) Destroy(context.Context, string) error { return errdefs.ErrUnavailable }

// TestRecoverBuries: a crash between a delete's record and its tombstone must not
// let the pod be created again once its record is gone (protocol 1.4).
func TestRecoverBuries(t *testing.T) {
	m := New(Config{Dir: t.TempDir(), Tombstones: time.Hour}, stuck{}, nil, ailing{})
	defer m.Close()
	if err := m.store.Open(); err != nil {
		t.Fatal(err)
	}
	r := recordOf(plainPod())
	r.Stage = lifecycle.StageRemoving
	if err := m.store.Save(r); err != nil {
		t.Fatal(err)
	}
	if err := m.Recover(t.Context(), func(map[string]bool) {}); err != nil {
		t.Fatal(err)
	}
	tombstones, err := m.store.Tombstones(time.Hour, time.Now())
	if _, found := tombstones[r.Pod.UID]; err != nil || !found {
		t.Errorf("tombstones = %v, %v", tombstones, err)
	}
}

// TestLogsBeforeTheyAreFound: a log that is not found yet is not an empty one.
func TestLogsBeforeTheyAreFound(t *testing.T) {
	m := New(Config{Dir: t.TempDir()}, nil, nil, ailing{})
	defer m.Close()
	p := m.newPod(plainPod())
	m.pods[p.spec.UID] = p
	query := podlogs.Query{UID: p.spec.UID, Container: p.spec.Spec.Containers[0].Name}
	if _, err := m.FindLogs(query); !errors.Is(err, errdefs.ErrUnavailable) {
		t.Errorf("FindLogs() = %v", err)
	}
	p.locate()
	if _, err := m.FindLogs(query); err != nil {
		t.Errorf("FindLogs() = %v", err)
	}
}
