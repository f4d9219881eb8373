package durable

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestSyncsAreShared: calls at the same time need few syncs, and each returns after
// one that began after it.
func TestSyncsAreShared(t *testing.T) {
	f := &Folder{Path: t.TempDir()}
	f.turn.Lock() // a sync is under way
	const callers = 20
	var ended sync.WaitGroup
	for range callers {
		ended.Go(func() {
			if err := f.Sync(); err != nil {
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
	if err := (&Folder{Path: filepath.Join(f.Path, "none")}).Sync(); err == nil {
		t.Error("a folder that is not there was synced")
	}
}

func TestMakeFolder(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "a/b/c")
	for range 2 {
		if err := MakeFolder(path); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}
