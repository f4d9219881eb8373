package pods

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// folder is one whose entries outlive a loss of power: a file that was made, renamed
// or removed is so for certain only when its folder has been synced as well. Callers
// at the same time share one sync.
type folder struct {
	path string
	turn sync.Mutex

	mu sync.Mutex
	// next has not begun yet.
	next *folderSync
}

type folderSync struct {
	done chan struct{}
	err  error
}

// sync returns when all that was done in the folder before the call is on the disk.
func (f *folder) sync() error {
	f.mu.Lock()
	s := f.next
	first := s == nil
	if first {
		s = &folderSync{done: make(chan struct{})}
		f.next = s
	}
	f.mu.Unlock()
	if !first {
		<-s.done
		return s.err
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	f.mu.Lock()
	f.next = nil // who comes from now on may have come too late for this one
	f.mu.Unlock()
	s.err = syncFolder(f.path)
	close(s.done)
	return s.err
}

// syncFolder has the disk hold the entries of a folder. File systems that cannot do
// this for folders are forgiven.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync a folder: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("sync a folder: %w", err)
	}
	return nil
}

// makeFolder is os.MkdirAll for a folder that outlives a loss of power.
func makeFolder(path string) error {
	there := path
	for there != filepath.Dir(there) {
		if _, err := os.Stat(there); err == nil {
			break
		}
		there = filepath.Dir(there)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for path != there {
		path = filepath.Dir(path)
		if err := syncFolder(path); err != nil {
			return err
		}
	}
	return nil
}
