package volumes

import (
	"fmt"
	"path"
	"path/filepath"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Mount is one bind mount of a container.
type Mount struct {
	// Source is an absolute path, valid inside the sandbox, that no pod can change.
	Source string
	// Open is what the sandbox's init has to open and to name, where Source is empty.
	Open *initapi.Source
	// Volume names the volume and what is mounted of it, for messages.
	Volume string
	// Target is the absolute, cleaned path in the container.
	Target string
	// ReadOnly is the wish of the mount, of the claim, or of the volume's kind.
	ReadOnly bool
	// Propagation is "", "rprivate", "rslave" or "rshared"; empty leaves the
	// engine's default, which is rprivate.
	Propagation string
	// Fuse says that /dev/fuse is asked for. What the container may have of it is for the
	// caller to choose; Source and Open are empty.
	Fuse bool
}

// Mounts gives the bind mounts of a container, in the order of its volume mounts.
// expand replaces $(VAR) in a subPathExpr by the container's variables.
//
// Whatever a pod or a user of the host can change is not named but described
// (Mount.Open): the sandbox's init opens it, step by step, and gives a name to what it
// found. That is the only time that its path is looked at, so call it right before the
// container is made.
//
// Errors: ErrInvalidArgument if a subPath is no relative path or expand fails,
// ErrNotFound if the volume was not prepared.
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

// mount decides one bind mount; see Mounts.
func (s *Set) mount(m *v1.VolumeMount, expand func(string) (string, error)) (Mount, error) {
	v, ok := s.volumes[m.Name]
	if !ok {
		return Mount{}, fmt.Errorf("volume %q of the pod is not prepared: %w", m.Name, errdefs.ErrNotFound)
	}
	subPath := m.SubPath
	if m.SubPathExpr != "" {
		var err error
		if subPath, err = expand(m.SubPathExpr); err != nil {
			return Mount{}, fmt.Errorf("subPathExpr %q: %w: %w", m.SubPathExpr, err, errdefs.ErrInvalidArgument)
		}
	}
	if err := checkSubPath(subPath); err != nil {
		return Mount{}, fmt.Errorf("subPath %q: %w: %w", subPath, err, errdefs.ErrInvalidArgument)
	}
	out := Mount{
		Target:      path.Clean(m.MountPath),
		ReadOnly:    m.ReadOnly || v.readOnly,
		Propagation: v.propagation(m.MountPropagation),
		Volume:      v.describe(subPath),
	}
	if v.fuse {
		out.Fuse, out.Propagation = true, ""
		return out, nil
	}
	if v.folder != "" && subPath == "" {
		// The pod's containers see what is in this folder, and cannot change its name.
		out.Source = filepath.Join(s.root, v.folder)
		return out, nil
	}
	if v.export != nil && subPath == "" {
		out.Source = exportPath(v)
		return out, nil
	}
	source, err := s.open(v)
	source.SubPath = subPath
	out.Open = &source
	return out, err
}

// describe names a volume and what is mounted of it, for messages.
func (v *volume) describe(subPath string) string {
	text := fmt.Sprintf("volume %q", v.name)
	if v.path != "" {
		text += fmt.Sprintf(" path %q", v.path)
	}
	if subPath != "" {
		text += fmt.Sprintf(" subPath %q", subPath)
	}
	return text
}

// propagation is as asked, within the pod's sandbox: the sandbox's own mounts of host
// paths receive what the host mounts and send nothing back, and its folder is the
// host's to nobody. Volumes whose content came with the pod are none to mount into.
func (v *volume) propagation(mode *v1.MountPropagationMode) string {
	mountable := v.kind == kindEmptyDir || v.kind == kindHostPath || v.kind == kindClaim
	switch {
	case mode == nil || !mountable:
		return ""
	case *mode == v1.MountPropagationHostToContainer:
		return "rslave"
	case *mode == v1.MountPropagationBidirectional:
		return "rshared"
	default:
		return "rprivate"
	}
}
