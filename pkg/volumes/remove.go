package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mountinfo"
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
		mounts: func(root string) ([]*mountinfo.Info, error) {
			return mountinfo.GetMounts(mountinfo.PrefixFilter(root))
		},
		unmount: func(p string) error { return unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) },
	}.remove(ctx, root)
}

// RemoveData deletes the files of configMap, secret, projected and downwardAPI volumes
// below the folder of a pod, and leaves emptyDirs. What is gone is success.
func RemoveData(ctx context.Context, root string) error {
	info, err := os.Lstat(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = errors.New("its folder is none")
	}
	for _, folder := range payloadFolders {
		if err == nil {
			err = tree.Remove(ctx, filepath.Join(root, folder))
		}
	}
	if err != nil {
		return fmt.Errorf("remove what the pod's volumes hold of its ConfigMaps and Secrets: %w", err)
	}
	return nil
}

// remover removes a pod's folder, and what is mounted below it, by these calls.
type remover struct {
	// mounts are those at and below a folder, in the order in which they were made.
	mounts  func(root string) ([]*mountinfo.Info, error)
	unmount func(path string) error
}

// remove does what Remove says.
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

// unmountBelow unmounts all that is mounted at and below a folder, the latest first, and
// makes sure that nothing is.
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
	mounts, err := r.mounts(root)
	if err != nil {
		return nil, fmt.Errorf("look for mounts below %s: %w", root, err)
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.Mountpoint)
	}
	return points, nil
}
