// Package durable makes entries of folders that outlive a loss of power.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Folder is one whose entries outlive a loss of power: a file that was made, renamed
// or removed is so for certain only when its folder has been synced as well. Callers
// at the same time share one sync.
type Folder struct {
	// Path of the folder on this host. It has to exist when Sync is called.
	Path string
	turn sync.Mutex

	mu sync.Mutex
	// next has not begun yet.
	next *folderSync
}

// folderSync is one sync that callers share.
type folderSync struct {
	done chan struct{}
	err  error
}

// Sync returns when all that was done in the folder before the call is on the disk.
func (f *Folder) Sync() error {
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
	f.next = nil // a call from now on may have come too late for this one
	f.mu.Unlock()
	s.err = SyncFolder(f.Path)
	close(s.done)
	return s.err
}

// SyncFolder has the disk hold the entries of a folder. File systems that cannot do
// this for folders are forgiven.
func SyncFolder(path string) error {
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

// MakeFolder is os.MkdirAll for a folder that outlives a loss of power. Its owner alone
// can read what it makes.
func MakeFolder(path string) error {
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
		if err := SyncFolder(path); err != nil {
			return err
		}
	}
	return nil
}
