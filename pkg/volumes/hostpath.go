package volumes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// planHostPath refuses a path that is not below one of HostPathPrefixes.
func (p *plan) planHostPath(v *volume, src *v1.HostPathVolumeSource) {
	if src.Type != nil {
		v.hostType = *src.Type
	}
	switch v.hostType {
	case v1.HostPathUnset, v1.HostPathDirectoryOrCreate, v1.HostPathDirectory, v1.HostPathFileOrCreate,
		v1.HostPathFile, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev:
	default:
		p.refuse(v.field, "type %s is not one of Kubernetes", v.hostType)
	}
	v.path = filepath.Clean(src.Path)
	if !filepath.IsAbs(src.Path) || hasBackstep(src.Path) {
		p.refuse(v.field, "path %s must be absolute and without ..", src.Path)
		return
	}
	for _, prefix := range p.policy.HostPathPrefixes {
		if within(prefix, v.path) {
			return
		}
	}
	if len(p.policy.HostPathPrefixes) == 0 {
		p.refuse(v.field, "path %s: this node allows no host paths; ask its operator to add the path to HostPathPrefixes", src.Path)
		return
	}
	p.refuse(v.field, "path %s is not below a host path that this node allows; ask its operator to add it to HostPathPrefixes", src.Path)
}

// within tells whether a path is a folder or lies below it; both are absolute.
func within(dir, p string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}

// openHostPath describes a host path for the sandbox's init. The walk begins at the
// longest of the allowed prefixes and may be led into the others.
func (s *Set) openHostPath(v *volume) (initapi.Source, error) {
	prefixes := slices.Clone(s.policy.HostPathPrefixes)
	slices.SortFunc(prefixes, func(a, b string) int { return len(b) - len(a) })
	at := slices.IndexFunc(prefixes, func(prefix string) bool { return within(filepath.Clean(prefix), v.path) })
	if at < 0 {
		return initapi.Source{}, fmt.Errorf("path %s is not below a host path that this node allows", v.path)
	}
	rel, err := filepath.Rel(filepath.Clean(prefixes[at]), v.path)
	if err != nil {
		return initapi.Source{}, err
	}
	private, err := s.private()
	if err != nil {
		return initapi.Source{}, err
	}
	out := initapi.Source{Path: rel, Type: string(v.hostType), Private: private.identities}
	if private.holds(prefixes[at]) {
		return initapi.Source{}, fmt.Errorf("path %s holds this node's own data on pods; use another path: %w", v.path, errdefs.ErrInvalidArgument)
	}
	out.Roots = append(out.Roots, root(prefixes[at]))
	for i, prefix := range prefixes {
		if i != at && !private.holds(prefix) {
			out.Roots = append(out.Roots, root(prefix))
		}
	}
	return out, nil
}

// root is a path that the sandbox sees under its own name. On the host it may have
// another one, behind a symbolic link, which links below it may use.
func root(name string) initapi.Root {
	name = filepath.Clean(name)
	out := initapi.Root{Path: name}
	if target, err := filepath.EvalSymlinks(name); err == nil && target != name {
		out.Names = append(out.Names, target)
	}
	return out
}

// privateFolder is the one with the pods' data.
type privateFolder struct {
	path       string // without symbolic links
	identities []initapi.Identity
}

// holds says whether a prefix lies in the folder, so that a walk from there would not
// come past it.
func (p privateFolder) holds(prefix string) bool {
	target, err := filepath.EvalSymlinks(prefix)
	return err == nil && within(p.path, target)
}

// private identifies the folder with the pods' data and all folders above it.
func (s *Set) private() (privateFolder, error) {
	private := s.policy.Private
	if private == "" {
		private = filepath.Dir(s.root)
	}
	private, err := filepath.EvalSymlinks(private)
	if err != nil {
		return privateFolder{}, err
	}
	out := privateFolder{path: private}
	for dir := private; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return privateFolder{}, err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			out.identities = append(out.identities, initapi.Identity{Device: stat.Dev, Inode: stat.Ino})
		}
		if dir == "/" {
			slices.Reverse(out.identities)
			return out, nil
		}
	}
}
