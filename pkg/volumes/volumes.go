// Package volumes turns the volumes of a Kubernetes pod into files below a
// folder of the pod, and the volume mounts of its containers into bind mounts.
//
// The pod's folder is bind-mounted at the same absolute path into the pod's
// sandbox, as are the allowed host paths and the paths of claims. Therefore a
// path made here can be given unchanged to the engine inside the sandbox.
//
// The rules are those of the kubelet, on the data that interLink sends
// (docs/interlink-protocol.md 5.2). Below the pod's folder (protocol 8.1):
//
//	configMaps/<volume>  secrets/<volume>  projected/<volume>  emptyDirs/<volume>
package volumes

import (
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// Data is what a create request carries for the volumes of a pod, merged over
// its containers. It holds secrets: keep it in files of mode 0600 only.
type Data struct {
	// ConfigMaps by their own name.
	ConfigMaps map[string]v1.ConfigMap `json:"configMaps,omitempty"`
	// Secrets by their own name.
	Secrets map[string]v1.Secret `json:"secrets,omitempty"`
	// Projected holds projected and downwardAPI volumes by volume name. The
	// keys of an entry are paths relative to the volume.
	Projected map[string]v1.ConfigMap `json:"projected,omitempty"`
}

// Add merges the lists of one container of a create request. Entries are taken
// by name, because the same object arrives once per volume mount (protocol 1.3).
func (d *Data) Add(configMaps, projected []v1.ConfigMap, secrets []v1.Secret) {
	for _, c := range configMaps {
		put(&d.ConfigMaps, c.Name, c)
	}
	for _, c := range projected {
		put(&d.Projected, c.Name, c)
	}
	for _, s := range secrets {
		put(&d.Secrets, s.Name, s)
	}
}

// put sets an entry of a map that may not exist yet.
func put[T any](m *map[string]T, name string, value T) {
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[name] = value
}

// Policy is what the operator of this node allows and provides.
type Policy struct {
	// HostPathPrefixes are the absolute host paths that hostPath volumes may
	// use, with everything below them. Empty refuses all hostPath volumes.
	HostPathPrefixes []string
	// Claims maps "namespace/claim" or "claim" to an absolute host path.
	Claims map[string]string
	// ClaimFallback is the host path of claims that Claims does not name.
	// Empty refuses them.
	ClaimFallback string
	// Private is the folder with the data of all pods, which no hostPath volume
	// may show; empty means the parent of the pod's own folder.
	Private string
	// Allocatable is what the node has for pods, for podspec.Downward.
	Allocatable v1.ResourceList
}

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
}

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

// Usage is an emptyDir on disk that holds more than its sizeLimit.
type Usage struct {
	Volume     string
	UsedBytes  int64
	LimitBytes int64
}

// Set is the prepared volumes of one pod. It is safe for concurrent use.
type Set struct {
	root    string
	policy  Policy
	volumes map[string]*volume
	names   []string
}

// Prepare makes the folders and files of all volumes that a container mounts,
// below root. Host paths and claims are checked, and made where their type says so,
// inside the sandbox; see Set.Checks.
//
// Only one call per root may run at a time. A second call gives the same
// result: files that differ are replaced
// atomically and emptyDirs that exist are left as they are.
//
// Errors: ErrInvalidArgument for all that Validate refuses, and plain errors for
// failed file operations.
func Prepare(root string, pod *v1.Pod, data Data, policy Policy) (*Set, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("prepare volumes: folder %q is not an absolute path", root)
	}
	p := planPod(pod, data, policy)
	if err := podspec.Refusal(p.problems); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("prepare volumes: %w", err)
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("prepare volumes: %w", err)
	}
	defer dir.Close()

	s := &Set{root: filepath.Clean(root), policy: policy, volumes: p.volumes, names: p.names}
	for _, name := range s.names {
		v := s.volumes[name]
		if err := s.prepare(dir, v); err != nil {
			return nil, fmt.Errorf("%s: %w", v.field, err)
		}
	}
	return s, nil
}

// prepare makes the folder and the files of a volume, if they are the pod's own.
func (s *Set) prepare(dir *os.Root, v *volume) error {
	switch v.kind {
	case kindHostPath, kindClaim:
		return nil
	case kindEmptyDir:
		return makeEmptyDir(dir, v)
	default:
		return writePayload(dir, v)
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
		if v.kind != kindHostPath && v.kind != kindClaim {
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
