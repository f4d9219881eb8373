package volumes

import (
	"os"
	"path/filepath"
)

// Tmpfs is an emptyDir of medium Memory, or of huge pages.
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
	// PageBytes is the size of a huge page, of which the file system is then; 0 for others.
	PageBytes int64
}

// Tmpfs lists the emptyDirs of medium Memory and of huge pages, in the order of the pod's
// volumes. The caller mounts them in the sandbox's mount namespace before the
// first container starts.
func (s *Set) Tmpfs() []Tmpfs {
	var list []Tmpfs
	for _, name := range s.names {
		v := s.volumes[name]
		if !v.memory && v.pages == 0 {
			continue
		}
		list = append(list, Tmpfs{
			Volume:    v.name,
			Path:      filepath.Join(s.root, v.folder),
			SizeBytes: v.size(),
			Mode:      unixMode(v.dirMode()),
			GID:       v.gid,
			PageBytes: v.pages,
		})
	}
	return list
}

// size of a file system in memory in bytes, 0 for no limit.
func (v *volume) size() int64 {
	if v.most > 0 && (v.limit == 0 || v.most < v.limit) {
		return v.most
	}
	return v.limit
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
