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
	out.Roots = append(out.Roots, rootAt(prefixes[at]))
	for i, prefix := range prefixes {
		if i != at && !private.holds(prefix) {
			out.Roots = append(out.Roots, rootAt(prefix))
		}
	}
	return out, nil
}

// rootAt is a path that the sandbox sees under its own name. On the host it may have
// another one, behind a symbolic link, which links below it may use.
func rootAt(name string) initapi.Root {
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

// Check is a volume whose source lies outside the pod's folder.
type Check struct {
	// Volume names it, for messages.
	Volume string
	Source initapi.Source
}

// Checks lists what the sandbox's init has to find, or to make, before the pod's first
// container starts.
func (s *Set) Checks() ([]Check, error) {
	var out []Check
	for _, name := range s.names {
		v := s.volumes[name]
		if v.kind != kindHostPath && v.kind != kindClaim || v.fuse {
			continue
		}
		source, err := s.open(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.field, err)
		}
		out = append(out, Check{Volume: fmt.Sprintf("%s: path %q", v.field, v.path), Source: source})
	}
	return out, nil
}

// File describes a file in an emptyDir of the pod for the sandbox's init. false says that
// no container mounts the volume, so that nothing is in it.
func (s *Set) File(name, path string) (initapi.Source, bool) {
	v, ok := s.volumes[name]
	if !ok || v.kind != kindEmptyDir {
		return initapi.Source{}, false
	}
	return initapi.Source{Roots: []initapi.Root{rootAt(s.root)}, Path: v.folder, NoCreate: true, SubPath: path}, true
}

// open describes a whole volume for the sandbox's init.
func (s *Set) open(v *volume) (initapi.Source, error) {
	switch v.kind {
	case kindClaim:
		if v.claim != "" {
			return initapi.Source{Roots: []initapi.Root{rootAt(s.policy.ClaimRoot)}, Path: v.claim, NoCreate: true, Type: string(v1.HostPathDirectory)}, nil
		}
		return initapi.Source{Roots: []initapi.Root{rootAt(v.path)}, Type: string(v1.HostPathDirectory)}, nil
	case kindHostPath:
		return s.openHostPath(v)
	case kindImage:
		// Where the sandbox's init shows the image.
		return initapi.Source{Roots: []initapi.Root{{Path: filepath.Join(initapi.ImagesPath, v.name)}}, NoCreate: true, AsRoot: true}, nil
	case kindNFS:
		return initapi.Source{Roots: []initapi.Root{{Path: exportPath(v)}}, NoCreate: true}, nil
	default:
		return initapi.Source{Roots: []initapi.Root{rootAt(s.root)}, Path: v.folder, NoCreate: true}, nil
	}
}
