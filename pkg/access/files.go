// Package access says who may call: a bearer token and TLS certificates from
// files, which are read anew when they change. interLink itself uses neither
// (protocol 1.1); both are for those who listen wider than loopback.
package access

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
)

// maxFile keeps a wrong path, such as a device or a log, from filling memory.
const maxFile = 1 << 20

// watched is what was last read from some files. It looks at them at each use:
// one system call per file is less than whatever it guards, and nothing is
// missed, wherever a file comes from.
type watched[T any] struct {
	paths []string
	load  func() (T, error)

	mu    sync.Mutex
	seen  []os.FileInfo
	value T
}

// watch reads the files for the first time.
func watch[T any](load func() (T, error), paths ...string) (*watched[T], error) {
	w := &watched[T]{paths: paths, load: load, seen: look(paths)}
	value, err := load()
	w.value = value
	return w, err
}

// current is what the files hold. Files that cannot be used leave what they held
// before in use, with a word in the log: a caller must not be locked out because
// somebody is just writing them.
func (w *watched[T]) current() T {
	now := look(w.paths)
	w.mu.Lock()
	value, same := w.value, slices.EqualFunc(now, w.seen, unchanged)
	w.mu.Unlock()
	if same {
		return value
	}
	fresh, err := w.load()
	w.mu.Lock()
	w.seen = now
	if err == nil {
		w.value = fresh
	}
	value = w.value
	w.mu.Unlock()
	if err != nil {
		log.L.WithError(err).Error("a file that says who may call has changed and cannot be used, what it held before stays in use")
	} else {
		log.L.WithField("files", strings.Join(w.paths, " ")).Info("files that say who may call have changed and were read")
	}
	return value
}

// look describes files; one that is not there is nil.
func look(paths []string) []os.FileInfo {
	out := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			out[i] = info
		}
	}
	return out
}

func unchanged(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

// read returns a file's content. A private one must be out of reach for those
// who are neither its owner nor in its group.
func read(key, path string, private bool) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %s is not a file: %w", key, path, errdefs.ErrInvalidArgument)
	}
	if private && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s: everybody on this host has access to %s (mode %04o): run chmod 600 %s: %w",
			key, path, info.Mode().Perm(), path, errdefs.ErrInvalidArgument)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: %s is larger than %d bytes: %w", key, path, maxFile, errdefs.ErrInvalidArgument)
	}
	return text, nil
}
