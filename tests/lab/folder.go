package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultFolder = "/var/tmp/docker-sd-lab"
	// lockLimit is how long a run waits for another one on the same folder.
	lockLimit = 30 * time.Minute
	// maxSocketPath is what fits into sockaddr_un beside its final zero byte.
	maxSocketPath = 107
)

// folder is where a private engine keeps its state between runs.
type folder string

func (f folder) socket() string  { return filepath.Join(string(f), "docker.sock") }
func (f folder) data() string    { return filepath.Join(string(f), "data") }
func (f folder) exec() string    { return filepath.Join(string(f), "exec") }
func (f folder) pidfile() string { return filepath.Join(string(f), "dockerd.pid") }
func (f folder) log() string     { return filepath.Join(string(f), "dockerd.log") }
func (f folder) config() string  { return filepath.Join(string(f), "daemon.json") }
func (f folder) endpoint() endpoint {
	return endpoint{"unix", f.socket()}
}

// kept is a marker: the engine was asked to outlive its run.
func (f folder) kept() string { return filepath.Join(string(f), "kept") }

// containerd is the folder of the containerd that dockerd starts.
func (f folder) containerd() string { return filepath.Join(f.exec(), "containerd") }

// openFolder makes the folder, for root alone. It refuses one that another user
// owns: its default parent is writable by all.
func openFolder(path string) (folder, error) {
	if path == "" {
		path = defaultFolder
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	f := folder(path)
	if longest := filepath.Join(f.containerd(), "containerd-debug.sock"); len(longest) > maxSocketPath {
		return "", fmt.Errorf("the folder %s is too deep for the sockets in it: shorten DOCKER_SD_LAB_DIR by %d bytes",
			path, len(longest)-maxSocketPath)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make the engine's folder: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", fmt.Errorf("look at the engine's folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s is not a folder of the user who runs the lab: remove it or set DOCKER_SD_LAB_DIR", path)
	}
	return f, os.Chmod(path, 0o700)
}

// lock takes the folder for this process until the returned file is closed or
// the process ends. While another run has it, waiting is called once and the
// lock is tried again until limit or ctx ends.
func (f folder) lock(ctx context.Context, limit time.Duration, waiting func()) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(string(f), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		if !said {
			waiting()
			said = true
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		}
		break
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the lock on %s: %w", f, err), file.Close())
	}
	return file, nil
}

// exists tells whether a path is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
