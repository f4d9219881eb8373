package pods

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// TestSyncsAreShared: calls at the same time need few syncs, and each returns after
// one that began after it.
func TestSyncsAreShared(t *testing.T) {
	f := &folder{path: t.TempDir()}
	f.turn.Lock() // a sync is under way
	const callers = 20
	var ended sync.WaitGroup
	for range callers {
		ended.Go(func() {
			if err := f.sync(); err != nil {
				t.Error(err)
			}
		})
	}
	deadline := time.Now().Add(time.Minute)
	for {
		f.mu.Lock()
		waiting := f.next
		f.mu.Unlock()
		if waiting != nil {
			select {
			case <-waiting.done:
				t.Fatal("a sync ended while another was under way")
			default:
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
		time.Sleep(time.Millisecond)
	}
	f.turn.Unlock()
	ended.Wait()
	if f.next != nil {
		t.Error("a sync is left that nobody does")
	}
	if err := (&folder{path: filepath.Join(f.path, "none")}).sync(); err == nil {
		t.Error("a folder that is not there was synced")
	}
}

func TestMakeFolder(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "a/b/c")
	for range 2 {
		if err := makeFolder(path); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// A pod that is created once more, after its tombstone has served, is no deleted one
// at the next start.
func TestExhume(t *testing.T) {
	s := openStore(t)
	for range 2 {
		if err := s.exhume(testUID); err != nil {
			t.Fatal(err)
		}
		if got, err := s.tombstones(time.Hour, time.Now()); err != nil || len(got) != 0 {
			t.Errorf("%v, %v", got, err)
		}
		if err := s.bury(testUID); err != nil {
			t.Fatal(err)
		}
		if got, err := s.tombstones(time.Hour, time.Now()); err != nil || len(got) != 1 {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func BenchmarkSave(b *testing.B) {
	s := newStore(filepath.Join(b.TempDir(), "data"))
	if err := s.open(); err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		r := fullRecord()
		r.Pod.UID = types.UID(filepath.Base(b.TempDir()))
		for pb.Next() {
			if err := s.save(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
