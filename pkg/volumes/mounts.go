package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
)

// maxLinks bounds the symbolic links followed in one subPath, as Linux does.
const maxLinks = 40

var errLeavesVolume = fmt.Errorf("leaves the volume: %w", errdefs.ErrInvalidArgument)

// Mounts gives the bind mounts of a container, in the order of its volume
// mounts. expand replaces $(VAR) in a subPathExpr by the container's variables.
// Folders named by a subPath are made if nothing is there, with the mode of the
// volume's own folder, as the kubelet does.
//
// Symbolic links of hostPath volumes and subPaths are resolved at the time of
// the call; call it right before the container starts.
//
// Errors: ErrInvalidArgument if a subPath leaves its volume or expand fails,
// ErrFailedPrecondition if a source is missing, ErrNotFound if the volume was
// not prepared.
func (s *Set) Mounts(c *v1.Container, expand func(string) (string, error)) ([]Mount, error) {
	mounts := make([]Mount, 0, len(c.VolumeMounts))
	for i := range c.VolumeMounts {
		m, err := s.mount(&c.VolumeMounts[i], expand)
		if err != nil {
			return nil, fmt.Errorf("container %q volumeMounts[%d] %q: %w", c.Name, i, c.VolumeMounts[i].MountPath, err)
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func (s *Set) mount(m *v1.VolumeMount, expand func(string) (string, error)) (Mount, error) {
	v, ok := s.volumes[m.Name]
	if !ok {
		return Mount{}, fmt.Errorf("volume %q of the pod is not prepared: %w", m.Name, errdefs.ErrNotFound)
	}
	source, err := s.source(v)
	if err != nil {
		return Mount{}, err
	}
	subPath := m.SubPath
	if m.SubPathExpr != "" {
		if subPath, err = expand(m.SubPathExpr); err != nil {
			return Mount{}, fmt.Errorf("subPathExpr %q: %w: %w", m.SubPathExpr, err, errdefs.ErrInvalidArgument)
		}
	}
	if subPath != "" {
		if source, err = s.subPath(v, source, subPath); err != nil {
			return Mount{}, fmt.Errorf("subPath %q: %w", subPath, err)
		}
	}
	return Mount{
		Source:      source,
		Target:      path.Clean(m.MountPath),
		ReadOnly:    m.ReadOnly || v.readOnly,
		Propagation: v.propagation(m.MountPropagation),
	}, nil
}

// propagation is as asked, for volumes that the host may mount into; the others
// are folders of the pod, where nobody mounts.
func (v *volume) propagation(mode *v1.MountPropagationMode) string {
	switch {
	case mode == nil, v.kind != kindHostPath && v.kind != kindClaim:
		return ""
	case *mode == v1.MountPropagationHostToContainer:
		return "rslave"
	case *mode == v1.MountPropagationBidirectional:
		return "rshared"
	default:
		return "rprivate"
	}
}

// source is the path of a whole volume, valid in the sandbox.
func (s *Set) source(v *volume) (string, error) {
	switch v.kind {
	case kindClaim:
		return filepath.Clean(v.path), nil
	case kindHostPath:
		h, err := s.resolveHostPath(v.path)
		if err != nil {
			return "", err
		}
		if !h.exists {
			return "", fmt.Errorf("path %q is gone from this node: %w", v.path, errdefs.ErrFailedPrecondition)
		}
		return h.source(), nil
	default:
		return filepath.Join(s.root, v.folder), nil
	}
}

// subPath resolves a path inside a volume to one without symbolic links, and
// makes it as a folder if nothing is there.
func (s *Set) subPath(v *volume, source, name string) (string, error) {
	if err := checkSubPath(name); err != nil {
		return "", fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	visible := source
	if v.memory {
		if s.SandboxRoot == "" {
			return "", fmt.Errorf("volume %q is in memory, which only its running sandbox shows, and that one is not visible from here; a docker-sd in a container needs the host's process namespace (--pid host): %w", v.name, errdefs.ErrFailedPrecondition)
		}
		visible = s.SandboxRoot + source
	}
	dir, err := os.OpenRoot(visible)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	rel, exists, err := resolve(dir, source, name)
	if err != nil {
		return "", err
	}
	if !exists {
		info, err := dir.Stat(".")
		if err != nil {
			return "", err
		}
		if err := makeMissing(dir, rel, info.Mode()&^os.ModeDir); err != nil {
			return "", err
		}
	}
	return filepath.Join(source, rel), nil
}

func checkSubPath(name string) error {
	if path.IsAbs(name) || hasBackstep(name) || strings.ContainsRune(name, 0) {
		return errors.New("must be relative to the volume and without '..'")
	}
	return nil
}

// resolve follows the symbolic links of a path in a folder by hand, because
// the result is used in the sandbox by its name. Links to absolute paths are
// followed only if these lie below base, the folder's own name.
func resolve(dir *os.Root, base, name string) (resolved string, exists bool, err error) {
	pending := strings.Split(name, "/")
	done, links := "", 0
	for len(pending) > 0 {
		part := pending[0]
		pending = pending[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if done == "" {
				return "", false, errLeavesVolume
			}
			done = strings.TrimPrefix(path.Dir("/"+done), "/")
			continue
		}
		next := path.Join(done, part)
		info, err := dir.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			rest := path.Join(pending...)
			if hasBackstep(strings.Join(pending, "/")) {
				return "", false, errLeavesVolume
			}
			return path.Join(next, rest), false, nil
		}
		if err != nil {
			return "", false, err
		}
		if info.Mode()&os.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", false, fmt.Errorf("has too many symbolic links: %w", errdefs.ErrInvalidArgument)
		}
		link, err := dir.Readlink(next)
		if err != nil {
			return "", false, err
		}
		if path.IsAbs(link) {
			// A link that leaves the folder now starts with "..", which is refused.
			if link, err = filepath.Rel(base, link); err != nil {
				return "", false, err
			}
			done = ""
		}
		pending = append(strings.Split(link, "/"), pending...)
	}
	if done == "" {
		done = "."
	}
	return done, true, nil
}
