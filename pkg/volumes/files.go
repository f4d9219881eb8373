package volumes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/google/renameio/v2"
)

// pendingName is the file in the pod's folder that becomes the next one written.
const pendingName = "pending"

// writePayload writes the files of a configMap, secret or projected volume.
// Files that are right already keep their inode, so that running containers
// which mount one by subPath go on seeing it.
func writePayload(dir *os.Root, v *volume) error {
	if err := dir.MkdirAll(path.Dir(v.folder), 0o700); err != nil {
		return err
	}
	if err := makeDir(dir, v.folder, v.dirMode(), v.gid); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if err := makeParents(dir, v, name); err != nil {
			return err
		}
		if err := writeFile(dir, path.Join(v.folder, name), v.files[name].data, v.fileMode(v.files[name]), v.files[name].uid, v.gid); err != nil {
			return err
		}
	}
	for _, t := range v.targets {
		if err := makeTarget(dir, v, t); err != nil {
			return fmt.Errorf("mount point %q inside the volume: %w", t.path, err)
		}
	}
	return nil
}

// makeParents makes the folders of a file inside a volume.
func makeParents(dir *os.Root, v *volume, name string) error {
	var parents []string
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		parents = append(parents, parent)
	}
	for _, parent := range slices.Backward(parents) {
		if err := makeDir(dir, path.Join(v.folder, parent), v.dirMode(), v.gid); err != nil {
			return err
		}
	}
	return nil
}

// makeTarget makes the mount point of another volume inside a volume.
func makeTarget(dir *os.Root, v *volume, t target) error {
	full := path.Join(v.folder, t.path)
	if _, err := dir.Stat(full); err == nil {
		return nil
	}
	if err := makeParents(dir, v, t.path); err != nil {
		return err
	}
	if t.file {
		return writeFile(dir, full, nil, defaultFileMode, nil, nil)
	}
	return makeDir(dir, full, 0o755, nil)
}

// makeDir makes a folder, or gives the one that is there its mode and group.
func makeDir(dir *os.Root, name string, mode os.FileMode, gid *int64) error {
	if err := dir.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := dir.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s exists and is not a folder", name)
	}
	if gid != nil {
		if err := dir.Lchown(name, -1, int(*gid)); err != nil {
			return ownershipError(err)
		}
	}
	return dir.Chmod(name, mode)
}

// writeFile replaces a file atomically, unless it is as wanted.
func writeFile(dir *os.Root, name string, content []byte, mode os.FileMode, uid, gid *int64) error {
	if sameFile(dir, name, content, mode, uid, gid) {
		return nil
	}
	// The pending file lies in the pod's folder, where no container sees it, has
	// a name of its own because that of the file may have the greatest length
	// already, and is for nobody else before it has its owner and mode.
	f, err := renameio.NewPendingFile(pendingName, renameio.WithRoot(dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer f.Cleanup() //nolint:errcheck // the first error is the one that tells
	if _, err := f.Write(content); err != nil {
		return err
	}
	if uid != nil || gid != nil {
		if err := f.Chown(id(uid), id(gid)); err != nil {
			return ownershipError(err)
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return dir.Rename(pendingName, name)
}

// sameFile says whether a file has this content, mode and owner already.
func sameFile(dir *os.Root, name string, content []byte, mode os.FileMode, uid, gid *int64) bool {
	info, err := dir.Lstat(name)
	if err != nil || info.Mode() != mode || info.Size() != int64(len(content)) {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (uid != nil && int64(stat.Uid) != *uid) || (gid != nil && int64(stat.Gid) != *gid) {
		return false
	}
	have, err := dir.ReadFile(name)
	return err == nil && bytes.Equal(have, content)
}

// makeEmptyDir makes the folder of an emptyDir under another name first, so
// that one that exists is complete, and is never touched again: its content,
// and by then its mode, belong to the containers.
func makeEmptyDir(dir *os.Root, v *volume) error {
	info, err := dir.Lstat(v.folder)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s exists and is not a folder", v.folder)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent, name := path.Split(v.folder)
	if err := dir.MkdirAll(path.Clean(parent), 0o700); err != nil {
		return err
	}
	pending := parent + "." + name
	if err := makeDir(dir, pending, v.dirMode(), v.gid); err != nil {
		return err
	}
	return dir.Rename(pending, v.folder)
}

// id is a user or group for chown(2), where -1 means no change.
func id(n *int64) int {
	if n == nil {
		return -1
	}
	return int(*n)
}

// ownershipError tells what to do where docker-sd may not change owners.
func ownershipError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; fsGroup and file owners need a daemon that runs as root", err)
	}
	return err
}
