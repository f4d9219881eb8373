package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
)

func (p *plan) planHostPath(v *volume, src *v1.HostPathVolumeSource) {
	if src.Type != nil {
		v.hostType = *src.Type
	}
	switch v.hostType {
	case v1.HostPathUnset, v1.HostPathDirectoryOrCreate, v1.HostPathDirectory, v1.HostPathFileOrCreate,
		v1.HostPathFile, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev:
	default:
		p.refuse(v.field, "type %q is not one of Kubernetes", v.hostType)
	}
	v.path = filepath.Clean(src.Path)
	if !filepath.IsAbs(src.Path) || hasBackstep(src.Path) {
		p.refuse(v.field, "path %q must be absolute and without '..'", src.Path)
		return
	}
	for _, prefix := range p.policy.HostPathPrefixes {
		if within(prefix, v.path) {
			return
		}
	}
	if len(p.policy.HostPathPrefixes) == 0 {
		p.refuse(v.field, "path %q: this node allows no host paths; ask its operator to add the path to HostPathPrefixes", src.Path)
		return
	}
	p.refuse(v.field, "path %q is not below a host path that this node allows; ask its operator to add it to HostPathPrefixes", src.Path)
}

// within tells whether a path is a folder or lies below it; both are absolute.
func within(dir, p string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}

// hostPath is a host path without symbolic links below an allowed prefix.
type hostPath struct {
	prefix string // as configured, the path that the sandbox knows
	real   string // the prefix on the host, without symbolic links
	rel    string // below both
	exists bool
}

func (h hostPath) source() string   { return filepath.Join(h.prefix, h.rel) }
func (h hostPath) resolved() string { return filepath.Join(h.real, h.rel) }

// resolveHostPath follows the symbolic links of a host path and finds the
// prefix that allows where it leads. The links are followed here and not in the
// sandbox, where they would lead elsewhere.
func (s *Set) resolveHostPath(name string) (hostPath, error) {
	resolved, exists, err := followLinks(name)
	if err != nil {
		return hostPath{}, err
	}
	if err := s.checkPrivate(name, resolved); err != nil {
		return hostPath{}, err
	}
	for _, prefix := range s.policy.HostPathPrefixes {
		base, err := filepath.EvalSymlinks(prefix)
		if err != nil || !within(base, resolved) {
			continue
		}
		rel, err := filepath.Rel(base, resolved)
		if err != nil {
			return hostPath{}, err
		}
		return hostPath{prefix: filepath.Clean(prefix), real: base, rel: rel, exists: exists}, nil
	}
	return hostPath{}, fmt.Errorf("path %q leads to %q, which is not below an existing host path that this node allows: %w", name, resolved, errdefs.ErrInvalidArgument)
}

// checkPrivate refuses paths that would show the folders of pods, which hold
// their secrets.
func (s *Set) checkPrivate(name, resolved string) error {
	private := s.policy.Private
	if private == "" {
		private = filepath.Dir(s.root)
	}
	private, err := filepath.EvalSymlinks(private)
	if err != nil {
		return err
	}
	if within(private, resolved) || within(resolved, private) {
		return fmt.Errorf("path %q holds this node's own data on pods; use another path: %w", name, errdefs.ErrInvalidArgument)
	}
	return nil
}

// followLinks resolves the part of a path that exists.
func followLinks(name string) (resolved string, exists bool, err error) {
	rest := ""
	for current := name; ; current = filepath.Dir(current) {
		resolved, err := filepath.EvalSymlinks(current)
		if err == nil {
			return filepath.Join(resolved, rest), rest == "", nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", false, err
		}
		if _, lerr := os.Lstat(current); lerr == nil {
			return "", false, fmt.Errorf("%s is a symbolic link that leads nowhere: %w", current, errdefs.ErrFailedPrecondition)
		}
		rest = filepath.Join(filepath.Base(current), rest)
	}
}

// prepareHostPath makes and checks the source of a hostPath volume by its type,
// on the host. With no type the kubelet checks nothing and container runtimes
// make a folder where nothing is; so does this.
func (s *Set) prepareHostPath(v *volume) error {
	h, err := s.resolveHostPath(v.path)
	if err != nil {
		return err
	}
	if !h.exists {
		if err := makeHostPath(h, v.hostType); err != nil {
			return err
		}
	}
	info, err := os.Stat(h.resolved())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("path %q does not exist on this node, and type %q asks for it: %w", v.path, v.hostType, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return err
	}
	if !hasType(info.Mode(), v.hostType) {
		return fmt.Errorf("path %q on this node is not what type %q asks for: %w", v.path, v.hostType, errdefs.ErrFailedPrecondition)
	}
	return nil
}

func makeHostPath(h hostPath, kind v1.HostPathType) error {
	if kind != v1.HostPathUnset && kind != v1.HostPathDirectoryOrCreate && kind != v1.HostPathFileOrCreate {
		return nil
	}
	dir, err := os.OpenRoot(h.real)
	if err != nil {
		return err
	}
	defer dir.Close()
	if kind != v1.HostPathFileOrCreate {
		return makeMissing(dir, h.rel, 0o755)
	}
	f, err := dir.OpenFile(h.rel, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder of %q does not exist on this node: %w", h.source(), errdefs.ErrFailedPrecondition)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(0o644)
}

// makeMissing makes the folders of a path that do not exist, with a mode that
// the umask does not reduce.
func makeMissing(dir *os.Root, name string, mode os.FileMode) error {
	done := ""
	for part := range strings.SplitSeq(name, "/") {
		done = filepath.Join(done, part)
		err := dir.Mkdir(done, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := dir.Chmod(done, mode); err != nil {
			return err
		}
	}
	return nil
}

func hasType(mode os.FileMode, kind v1.HostPathType) bool {
	switch kind {
	case v1.HostPathDirectory, v1.HostPathDirectoryOrCreate:
		return mode.IsDir()
	case v1.HostPathFile, v1.HostPathFileOrCreate:
		return mode.IsRegular()
	case v1.HostPathSocket:
		return mode&os.ModeSocket != 0
	case v1.HostPathCharDev:
		return mode&os.ModeCharDevice != 0
	case v1.HostPathBlockDev:
		return mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0
	default:
		return true
	}
}

// checkClaim makes sure that the operator's path of a claim is there.
func checkClaim(name string) error {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("the path %q of the claim is not a folder on this node; ask its operator to check PersistentVolumeClaims: %w", name, errdefs.ErrFailedPrecondition)
	}
	return nil
}
