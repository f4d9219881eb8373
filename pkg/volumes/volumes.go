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
//	configMaps/<volume>  secrets/<volume>  projected/<volume>  emptyDirs/<volume>  ephemeral/<volume>
package volumes

import (
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes/persistent"
)

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

// EmptyDirs is the folder that has the pod's emptyDirs in it, each by its name.
func (s *Set) EmptyDirs() string { return filepath.Join(s.root, emptyDirFolder) }

// prepare makes the folder and the files of a volume, if they are the pod's own.
func (s *Set) prepare(dir *os.Root, v *volume) error {
	switch v.kind {
	case kindClaim:
		if v.claim != "" {
			return persistent.Make(s.policy.ClaimRoot, v.claim, v.gid)
		}
		return nil
	case kindHostPath, kindImage, kindNFS:
		return nil
	case kindEmptyDir, kindEphemeral:
		return makeEmptyDir(dir, v)
	default:
		return writePayload(dir, v)
	}
}

// Validate refuses what this node cannot honour in the volumes and volume
// mounts of a pod. It touches no file. The warnings, each a sentence with its field,
// tell what the pod will miss although it is accepted, such as projected data
// that interLink did not send (protocol 5.3).
func Validate(pod *v1.Pod, data Data, policy Policy) (warnings []string, problems field.ErrorList) {
	p := planPod(pod, data, policy)
	return p.warnings, p.problems
}
