package volumes

import (
	"os"
	"path/filepath"
)

// Tmpfs is an emptyDir of medium Memory.
type Tmpfs struct {
	// Volume is the name of the volume.
	Volume string
	// Path is the absolute mount point, an existing folder.
	Path string
	// SizeBytes is the volume's sizeLimit; 0 is no limit.
	SizeBytes int64
	// Mode has the permission bits, with setgid (02000) and sticky (01000) as
	// mount(8) takes them.
	Mode uint32
	// GID is the pod's fsGroup, nil for the mounter's own group.
	GID *int64
}

// Tmpfs lists the emptyDirs of medium Memory, in the order of the pod's
// volumes. The caller mounts them in the sandbox's mount namespace before the
// first container starts.
func (s *Set) Tmpfs() []Tmpfs {
	var list []Tmpfs
	for _, name := range s.names {
		v := s.volumes[name]
		if !v.memory {
			continue
		}
		list = append(list, Tmpfs{
			Volume:    v.name,
			Path:      filepath.Join(s.root, v.folder),
			SizeBytes: v.limit,
			Mode:      unixMode(v.dirMode()),
			GID:       v.gid,
		})
	}
	return list
}

// unixMode is a mode in the bits of chmod(2).
func unixMode(m os.FileMode) uint32 {
	mode := uint32(m.Perm())
	if m&os.ModeSetgid != 0 {
		mode |= 0o2000
	}
	if m&os.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}
