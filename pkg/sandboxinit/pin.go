package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// check opens a source and lets go of it again.
func check(s initapi.Source) error {
	var err error
	if s.Roots, err = mountedRoots(s.Roots); err != nil {
		return err
	}
	file, err := open(s)
	if err == nil {
		file.close()
	}
	return err
}

// pin opens a source and mounts it at its place, where the engine finds it by a name
// that no pod can change.
func pin(place string, s initapi.Source) (string, error) {
	target, err := placePath(place)
	if err != nil {
		return "", err
	}
	if s.Roots, err = mountedRoots(s.Roots); err != nil {
		return "", err
	}
	file, err := open(s)
	if err != nil {
		return "", err
	}
	defer file.close()
	return mountAt(target, file)
}

// placePath is the mount point of a place: CONTAINER/NUMBER.
func placePath(place string) (string, error) {
	container, number, found := strings.Cut(place, "/")
	plain := func(s string) bool {
		return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
	}
	if !found || !plain(container) || !plain(number) {
		return "", &initapi.Error{Kind: initapi.KindInvalid, Message: "the place must be CONTAINER/NUMBER"}
	}
	return filepath.Join(pinsPath, container, number), nil
}

// bindAt mounts a descriptor. Through /proc the kernel goes to the file itself,
// whatever its name is by now.
func bindAt(target string, file opened) error {
	if err := release(target); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	if err := makePlace(target, file.isDir()); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", file.fd), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount the source: %w", err)
	}
	return nil
}

// release lets go of what was mounted at a place before.
func release(target string) error {
	for {
		err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("let go of the last source: %w", err)
		}
	}
}

// makePlace makes a mount point of the kind that the source needs.
func makePlace(target string, dir bool) error {
	if info, err := os.Lstat(target); err == nil && info.IsDir() != dir {
		if err := os.Remove(target); err != nil {
			return err
		}
	}
	if dir {
		return os.MkdirAll(target, 0o700)
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
