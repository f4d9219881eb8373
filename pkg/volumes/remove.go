package volumes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Remove deletes the folder of a pod with all volumes in it; hostPath and claim
// volumes lie elsewhere and stay. A folder that is gone is success. Symbolic
// links are deleted, never followed. What a sandbox mounted below the folder
// and left on the host is unmounted first, so that nothing behind a mount is
// deleted; if that fails nothing is deleted at all.
func Remove(root string) error {
	return remover{
		mountinfo: func() ([]byte, error) { return os.ReadFile("/proc/self/mountinfo") },
		unmount:   func(p string) error { return unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) },
	}.remove(root)
}

type remover struct {
	mountinfo func() ([]byte, error)
	unmount   func(path string) error
}

func (r remover) remove(root string) error {
	root = filepath.Clean(root)
	if !filepath.IsAbs(root) || root == "/" {
		return fmt.Errorf("remove volumes: folder %q must be absolute and not the root", root)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(root))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove volumes: %w", err)
	}
	root = filepath.Join(parent, filepath.Base(root))
	if err := r.unmountBelow(root); err != nil {
		return fmt.Errorf("remove volumes: %w", err)
	}
	if err = os.RemoveAll(root); errors.Is(err, fs.ErrPermission) {
		// A daemon that is not root cannot look into its own folders of mode 0.
		if err = unlock(root); err == nil {
			err = os.RemoveAll(root)
		}
	}
	if err != nil {
		return fmt.Errorf("remove volumes: %w", err)
	}
	return nil
}

func (r remover) unmountBelow(root string) error {
	points, err := r.mountPoints(root)
	if err != nil {
		return err
	}
	// Later mounts may lie on earlier ones.
	for _, p := range slices.Backward(points) {
		if err := r.unmount(p); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmount %s: %w", p, err)
		}
	}
	if len(points) == 0 {
		return nil
	}
	if points, err = r.mountPoints(root); err == nil && len(points) > 0 {
		err = fmt.Errorf("%s is still mounted", points[0])
	}
	return err
}

// mountPoints lists the mount points at and below a folder, in mount order.
func (r remover) mountPoints(root string) ([]string, error) {
	table, err := r.mountinfo()
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range bytes.Lines(table) {
		// The fifth field is the mount point, see proc_pid_mountinfo(5).
		fields := strings.Fields(string(line))
		if len(fields) < 5 {
			continue
		}
		if p := unescapeOctal(fields[4]); within(root, p) {
			points = append(points, p)
		}
	}
	return points, nil
}

// unescapeOctal undoes the \040 notation of mountinfo.
func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// unlock gives the owner access to all folders below, without following links.
func unlock(root string) error {
	info, err := os.Lstat(root)
	if err != nil || !info.IsDir() {
		return err
	}
	if err := os.Chmod(root, 0o700); err != nil {
		return err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unlockBelow(dir)
}

func unlockBelow(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := dir.Chmod(e.Name(), 0o700); err != nil {
			return err
		}
		sub, err := dir.OpenRoot(e.Name())
		if err != nil {
			return err
		}
		err = unlockBelow(sub)
		if cerr := sub.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}
