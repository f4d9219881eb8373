package volumes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tree"
)

// Remove deletes the folder of a pod with all volumes in it; hostPath and claim
// volumes lie elsewhere and stay. A folder that is gone is success. Symbolic
// links are deleted, never followed. What a sandbox mounted below the folder
// and left on the host is unmounted first, so that nothing behind a mount is
// deleted; if that fails nothing is deleted at all. What ctx ends early the next
// call goes on with.
func Remove(ctx context.Context, root string) error {
	return remover{
		mountinfo: func() ([]byte, error) { return os.ReadFile("/proc/self/mountinfo") },
		unmount:   func(p string) error { return unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) },
	}.remove(ctx, root)
}

type remover struct {
	mountinfo func() ([]byte, error)
	unmount   func(path string) error
}

func (r remover) remove(ctx context.Context, root string) error {
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
	if err := tree.Remove(ctx, root); err != nil {
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
