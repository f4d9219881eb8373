package records

import (
	"os"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestTombstones(t *testing.T) {
	s, now := openStore(t), time.Now()
	const old = "11111111-2222-4333-8444-555555555555"
	for _, uid := range []types.UID{testUID, old} {
		if err := s.AddTombstone(uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(s.tombstonePath(old), now, now.Add(-tombstoneLimit-time.Hour)); err != nil {
		t.Fatal(err)
	}
	// The clock was set, forwards or back: the delete is remembered from now on.
	for _, age := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour} {
		if err := os.Chtimes(s.tombstonePath(testUID), now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		got, err := s.Tombstones(time.Hour, now)
		if at, kept := got[testUID]; err != nil || len(got) != 1 || !kept || !at.Equal(now) {
			t.Errorf("of a tombstone of age %s: got %v, %v", age, got, err)
		}
	}
	if _, err := os.Stat(s.tombstonePath(old)); !os.IsNotExist(err) {
		t.Errorf("the old one is still there: %v", err)
	}
	s.DropTombstone(testUID)
	if got, err := s.Tombstones(time.Hour, now); err != nil || len(got) > 0 {
		t.Errorf("after DropTombstone: %v, %v", got, err)
	}
}

// A pod that is created once more, after its tombstone has served, is no deleted one
// at the next start.
func TestExhume(t *testing.T) {
	s := openStore(t)
	for range 2 {
		if err := s.RemoveTombstone(testUID); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Tombstones(time.Hour, time.Now()); err != nil || len(got) != 0 {
			t.Errorf("%v, %v", got, err)
		}
		if err := s.AddTombstone(testUID); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Tombstones(time.Hour, time.Now()); err != nil || len(got) != 1 {
			t.Errorf("%v, %v", got, err)
		}
	}
}
