package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// A sandbox bears its pool name until it is given its pod's, and may get it back: by
// a person, or by a crash in between. So the name alone does not make it unused. With
// the record of its pod damaged as well, the next pod would find the first one's
// containers and files.

// HasPodFiles says that there is something in the folder of a sandbox's pod, which is
// empty until there is a pod.
func (c Config) HasPodFiles(name string) bool {
	dir, err := os.Open(podDir(c.Folder(name)))
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

// CheckUnused is ErrConflict if containers are in a sandbox's engine, of whatever kind.
// The one that primes was cut short by a crash, and is removed: it holds nothing.
func (s *Sandbox) CheckUnused(ctx context.Context) error {
	found, err := s.Engine.List(ctx)
	if err != nil {
		return fmt.Errorf("look for containers in it: %w", err)
	}
	at := slices.IndexFunc(found, func(c engine.Container) bool { return c.Name == primeName })
	if at >= 0 {
		if err := s.Engine.Remove(ctx, found[at].ID); err != nil {
			return fmt.Errorf("remove the container that primed it: %w", err)
		}
		found = slices.Delete(found, at, at+1)
	}
	if len(found) > 0 {
		return fmt.Errorf("it holds %d containers, such as %q: %w", len(found), found[0].Name, errdefs.ErrConflict)
	}
	return nil
}
