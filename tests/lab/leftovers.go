package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pollInterval = 20 * time.Millisecond
	// endLimit bounds the wait for processes that got a signal.
	endLimit = 5 * time.Second
)

// leftovers counts what clean has found.
type leftovers struct {
	processes, mounts, cgroups int
}

func (l leftovers) String() string {
	return fmt.Sprintf("%d processes, %d mounts and %d cgroups", l.processes, l.mounts, l.cgroups)
}

// clean ends and removes what an engine left behind: processes, mounts, cgroups,
// sockets and pid files. Images and stopped containers stay.
func (f folder) clean(ctx context.Context) (found leftovers, err error) {
	if found.processes, err = f.endProcesses(ctx); err != nil {
		return found, err
	}
	if found.mounts, err = f.unmount(); err != nil {
		return found, err
	}
	if found.cgroups, err = f.removeCgroups(ctx); err != nil {
		return found, err
	}
	stale := []string{f.pidfile(), f.socket(), f.kept(), filepath.Join(f.containerd(), "containerd.pid")}
	for _, path := range stale {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return found, fmt.Errorf("remove a stale file: %w", err)
		}
	}
	return found, nil
}

// endProcesses ends the engine's processes and returns how many there were. The
// containers go first, so that a dockerd that still works ends by itself.
func (f folder) endProcesses(ctx context.Context) (int, error) {
	alive, err := f.processes()
	if err != nil {
		return 0, err
	}
	count := len(alive[roleDaemon]) + len(alive[roleRuntime]) + len(alive[rolePayload])
	if count == 0 {
		return 0, nil
	}
	kill(unix.SIGKILL, alive[rolePayload])
	kill(unix.SIGTERM, alive[roleDaemon])
	noDaemon := func() (bool, error) {
		alive, err := f.processes()
		return len(alive[roleDaemon]) == 0, err
	}
	if err := poll(ctx, endLimit, noDaemon); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return count, err
	}
	none := func() (bool, error) {
		alive, err := f.processes()
		kill(unix.SIGKILL, alive[roleDaemon], alive[roleRuntime], alive[rolePayload])
		return len(alive) == 0, err
	}
	if err := poll(ctx, endLimit, none); err != nil {
		return count, fmt.Errorf("end the left-over processes of the engine in %s: %w", f, err)
	}
	return count, nil
}

// kill signals processes. Those that have ended meanwhile are what is wanted.
func kill(signal unix.Signal, lists ...[]int) {
	for _, pid := range slices.Concat(lists...) {
		_ = unix.Kill(pid, signal)
	}
}

// poll asks condition at once and then every 20 ms until it is true or fails.
// The error is context.DeadlineExceeded when limit is over.
func poll(ctx context.Context, limit time.Duration, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unmount detaches what is mounted below the folder, the newest mount first.
func (f folder) unmount() (int, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, fmt.Errorf("list the mounts: %w", err)
	}
	points := mountsBelow(string(table), string(f))
	for _, point := range slices.Backward(points) {
		err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		// EINVAL: it went together with a mount that was above it.
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return len(points), fmt.Errorf("unmount the left-over %s: %w", point, err)
		}
	}
	return len(points), nil
}

// mountsBelow returns the mount points strictly below dir in the order of a
// mountinfo table, which is the order in which they were made.
func mountsBelow(table, dir string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape.Replace(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}

// removeCgroups removes the cgroups of containers that have ended, from each
// hierarchy. Children go before their parents.
func (f folder) removeCgroups(ctx context.Context) (int, error) {
	ids, err := f.containerIDs()
	if err != nil {
		return 0, err
	}
	count := 0
	for id := range ids {
		// cgroup v1 has one more level, the controller; the systemd driver of
		// version 2 names scopes. The lab's engine uses the cgroupfs driver.
		for _, pattern := range []string{"/sys/fs/cgroup/docker/", "/sys/fs/cgroup/*/docker/", "/sys/fs/cgroup/docker-sd-*/", "/sys/fs/cgroup/*/docker-sd-*/"} {
			tops, err := filepath.Glob(pattern + id)
			if err != nil {
				return count, err
			}
			for _, top := range tops {
				count++
				if err := removeCgroup(ctx, top); err != nil {
					return count, err
				}
				if parent := filepath.Dir(top); filepath.Base(parent) != "docker" {
					// It stays as long as another engine's sandbox is in it.
					if err := unix.Rmdir(parent); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) {
						return count, fmt.Errorf("remove the left-over cgroup %s: %w", parent, err)
					}
				}
			}
		}
	}
	return count, nil
}

func removeCgroup(ctx context.Context, top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list a left-over cgroup: %w", err)
	}
	for _, dir := range slices.Backward(dirs) {
		// A cgroup is busy for a moment after its last process was killed.
		removed := func() (bool, error) {
			err := unix.Rmdir(dir)
			if errors.Is(err, unix.EBUSY) {
				return false, nil
			}
			return true, err
		}
		if err := poll(ctx, endLimit, removed); err != nil {
			return fmt.Errorf("remove the left-over cgroup %s: %w", dir, err)
		}
	}
	return nil
}
