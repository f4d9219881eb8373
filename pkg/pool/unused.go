package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// A sandbox bears its pool name until it is given its pod's, and may get it back: by
// a person, or by a crash in between. So the name alone does not make it unused. With
// the record of its pod damaged as well, the next pod would find the first one's
// containers and files.

// podFiles says that there is something in the folder of a sandbox's pod, which is
// empty until there is a pod.
func (p *Pool) podFiles(name string) bool {
	dir, err := os.Open(filepath.Join(p.folder(name), "pod"))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return true
	}
	defer dir.Close()
	entries, err := dir.Readdirnames(1)
	return len(entries) > 0 || !errors.Is(err, io.EOF)
}

// checkUnused is ErrConflict if containers are in a sandbox's engine, of whatever kind.
// One that primes and was cut short by a crash costs a boot.
func (s *Sandbox) checkUnused(ctx context.Context) error {
	found, err := s.Engine.List(ctx)
	if err != nil {
		return fmt.Errorf("look for containers in it: %w", err)
	}
	if len(found) > 0 {
		return fmt.Errorf("it holds %d containers, such as %q: %w", len(found), found[0].Name, errdefs.ErrConflict)
	}
	return nil
}
