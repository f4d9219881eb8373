// Package writeback keeps what waits for the disk small.
//
// An engine unmounts an overlay for every container that it makes, and the kernel
// then writes out all that anybody has written to the file system below it. With
// an image of 1 GB that has just arrived a start on the plain engine takes 0.64 s
// instead of 0.11, and by default the kernel lets a tenth of the memory wait.
package writeback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// period between two looks; a disk writes some 100 MB in it.
const period = 250 * time.Millisecond

// keeper has the disk write what waits for it.
type keeper struct {
	limit int64
	// waiting says how many bytes of the host's do.
	waiting func() (int64, error)
	// flush returns when those of the file system are written.
	flush func() error
}

// Run has the file system that dir is on written out whenever more than limit
// bytes wait for the host's disks, until ctx ends. Without a dir that can be seen
// from here it returns at once.
func Run(ctx context.Context, dir string, limit int64) {
	if _, err := os.Stat(dir); err != nil {
		log.G(ctx).WithError(err).Info("the engine's data folder cannot be seen from here: starts of pods wait for the disk while much is written, " +
			"unless the host has a small vm.dirty_background_bytes")
		return
	}
	k := keeper{limit: limit, waiting: func() (int64, error) { return dirty(procfs.DefaultMountPoint) }, flush: func() error { return syncFileSystem(dir) }}
	k.run(ctx)
}

// longestPause is between two tries where what waits cannot be told or written.
const longestPause = time.Minute

// run looks every period until ctx ends, and less often while that fails.
func (k keeper) run(ctx context.Context) {
	tries := retry.New(period, longestPause)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := k.look(); err == nil {
			tries.Succeeded(ctx, "what waits for the disk is kept small again")
		} else if tries.Failed(ctx, "what waits for the disk is not kept small, trying again: starts of pods may wait for it", err) != nil {
			return
		}
	}
}

func (k keeper) look() error {
	n, err := k.waiting()
	if err == nil && n > k.limit {
		err = k.flush()
	}
	return err
}

// dirty returns how many bytes wait for all of the host's disks, as the folder proc has it.
func dirty(proc string) (int64, error) {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return 0, err
	}
	memory, err := fs.Meminfo()
	if err != nil {
		return 0, err
	}
	if memory.DirtyBytes == nil {
		return 0, fmt.Errorf("%s/meminfo does not say what is dirty", proc)
	}
	return int64(*memory.DirtyBytes), nil
}

// syncFileSystem opens the folder anew each time, so that its file system can be
// unmounted meanwhile.
func syncFileSystem(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(folder.Fd()))
	if err != nil {
		err = fmt.Errorf("write out the file system of %s: %w", dir, err)
	}
	return errors.Join(err, folder.Close())
}
