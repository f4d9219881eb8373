package tree

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many names of a folder are read at a time.
	batch = 1024
	// abreast is how many entries are removed at the same time, beside the first. A
	// file system may wait for its device with each block that it frees.
	abreast = 8
)

// Remove deletes a path and all that is below it. A path that is gone is success;
// a symbolic link is deleted itself. Links above the path are followed.
//
// It needs less than 30 descriptors and the memory for a few batches of names,
// whatever the depth and the width: a folder inside a folder inside the root is first moved up
// to be the root's own, so that no path ever has more than two parts. A call that
// is interrupted, by ctx or by a crash, leaves less than there was, and the next one
// goes on.
func Remove(ctx context.Context, path string) error {
	parent, err := again(func() (int, error) {
		return unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	defer unix.Close(parent)
	r := &remover{ctx: ctx, name: "." + rand.Text() + ".", slots: make(chan struct{}, abreast)}
	defer r.closing.Wait()
	if err := r.remove(parent, filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

type remover struct {
	ctx context.Context
	// name is what the names of folders that were moved up begin with, moved is the
	// last one's number.
	name  string
	moved atomic.Uint64
	// slots are taken by goroutines.
	slots   chan struct{}
	closing sync.WaitGroup
}

// beside runs f in a goroutine of the group if a slot is free, and otherwise here.
func (r *remover) beside(group *sync.WaitGroup, f func()) {
	select {
	case r.slots <- struct{}{}:
		group.Go(func() {
			defer func() { <-r.slots }()
			f()
		})
	default:
		f()
	}
}

// remove deletes the root.
func (r *remover) remove(parent int, name string) error {
	err := unlink(parent, name, false)
	if !notEmpty(err) {
		return err
	}
	return r.removeFolder(parent, name, func(root *os.File, entry fs.DirEntry) error {
		err := unlink(fdOf(root), entry.Name(), entry.IsDir())
		if !notEmpty(err) {
			return err
		}
		return r.removeFolder(fdOf(root), entry.Name(), func(dir *os.File, entry fs.DirEntry) error {
			err := unlink(fdOf(dir), entry.Name(), entry.IsDir())
			if !notEmpty(err) {
				return err
			}
			return r.moveUp(fdOf(dir), entry.Name(), fdOf(root))
		})
	})
}

// removeFolder has each entry of a folder removed, or moved out of it, and then
// removes the folder. One entry that cannot be removed does not keep the others.
func (r *remover) removeFolder(parent int, name string, clearEntry func(*os.File, fs.DirEntry) error) error {
	fd, err := openFolder(parent, name)
	if errors.Is(err, unix.EACCES) {
		if err = unlock(parent, name); err == nil {
			fd, err = openFolder(parent, name)
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return failed("open", name, err)
	}
	dir := os.NewFile(uintptr(fd), name)
	// The folder's blocks are freed when it is closed, which nothing waits for.
	defer r.beside(&r.closing, func() { dir.Close() })
	for {
		cleared, problem, err := r.pass(dir, clearEntry)
		if err != nil {
			return err
		}
		err = unlink(parent, name, true)
		switch {
		case !notEmpty(err):
			return err
		case cleared == 0 && problem != nil:
			return problem
		case cleared == 0:
			return err
		}
	}
}

// pass goes through a folder's entries once. problem is the first entry's that could
// not be cleared.
func (r *remover) pass(dir *os.File, clearEntry func(*os.File, fs.DirEntry) error) (cleared int, problem, err error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return 0, nil, failed("read", dir.Name(), err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	note := func(failure error) {
		mu.Lock()
		defer mu.Unlock()
		if failure == nil {
			cleared++
		} else if problem == nil {
			problem = failure
		}
	}
	for err == nil && r.ctx.Err() == nil {
		var entries []fs.DirEntry
		entries, err = dir.ReadDir(batch)
		for _, entry := range entries {
			if r.ctx.Err() == nil {
				r.beside(&group, func() { note(r.unlocked(dir, entry, clearEntry)) })
			}
		}
		// No more than one batch is in memory.
		group.Wait()
	}
	if r.ctx.Err() != nil {
		return cleared, problem, r.ctx.Err()
	}
	if !errors.Is(err, io.EOF) {
		return cleared, problem, failed("read", dir.Name(), err)
	}
	return cleared, problem, nil
}

// unlocked has an entry cleared, in a folder without permissions too: these bind an
// owner who is not root.
func (r *remover) unlocked(dir *os.File, entry fs.DirEntry, clearEntry func(*os.File, fs.DirEntry) error) error {
	err := clearEntry(dir, entry)
	if errors.Is(err, unix.EACCES) && unix.Fchmod(fdOf(dir), 0o700) == nil {
		err = clearEntry(dir, entry)
	}
	return err
}

// moveUp makes a folder the root's own. A name that is taken is passed over.
func (r *remover) moveUp(dir int, name string, root int) error {
	for unlocked := false; ; {
		err := unix.Renameat(dir, name, root, r.name+strconv.FormatUint(r.moved.Add(1), 36))
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case errors.Is(err, unix.EINTR), notEmpty(err), errors.Is(err, unix.ENOTDIR):
		case errors.Is(err, unix.EACCES) && !unlocked:
			// Its entry for the folder above is written.
			if err := unlock(dir, name); err != nil {
				return failed("unlock", name, err)
			}
			unlocked = true
		default:
			return failed("move", name, err)
		}
	}
}

// unlink deletes a file or an empty folder; one that is gone is success.
func unlink(dir int, name string, folder bool) error {
	flags := 0
	if folder {
		flags = unix.AT_REMOVEDIR
		// Its blocks are freed with the last descriptor, else while the folder above is
		// locked.
		if fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
			defer unix.Close(fd)
		}
	}
	for {
		err := unix.Unlinkat(dir, name, flags)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case errors.Is(err, unix.EINTR):
		case flags == 0 && errors.Is(err, unix.EISDIR):
			flags = unix.AT_REMOVEDIR
		case flags != 0 && errors.Is(err, unix.ENOTDIR):
			flags = 0
		default:
			return failed("remove", name, err)
		}
	}
}

func notEmpty(err error) bool { return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) }

func fdOf(f *os.File) int { return int(f.Fd()) }

// unlock gives a folder's owner access to it, without following a link.
func unlock(dir int, name string) error {
	fd, err := again(func() (int, error) {
		return unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o700)
}
