package volumes

import (
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// The kinds of volume, by the name of their field in the pod.
const (
	kindConfigMap   = "configMap"
	kindSecret      = "secret"
	kindProjected   = "projected"
	kindDownwardAPI = "downwardAPI"
	kindEmptyDir    = "emptyDir"
	kindHostPath    = "hostPath"
	kindClaim       = "persistentVolumeClaim"
	kindImage       = "image"
	kindNFS         = "nfs"
	kindEphemeral   = "ephemeral"
)

// payloadFolders hold the volumes whose content the create brings, below the pod's folder.
var payloadFolders = []string{configMapFolder, secretFolder, projectedFolder}

const (
	configMapFolder = "configMaps"
	secretFolder    = "secrets"
	projectedFolder = "projected"
	emptyDirFolder  = "emptyDirs"
)

// volume is one volume of the pod, decided but not yet made.
type volume struct {
	name  string
	kind  string
	field string // how messages name it: spec.volumes[0] data (emptyDir)

	folder string // below the pod's folder; empty for hostPath and claims
	gid    *int64 // fsGroup, nil for hostPath and claims without a folder of their own

	files   map[string]file // payload kinds, by cleaned relative path
	targets []target        // payload kinds: places where other volumes are mounted

	mode   os.FileMode // emptyDir and ephemeral
	memory bool        // emptyDir of medium Memory
	pages  int64       // emptyDir of a medium of huge pages: the bytes of one
	most   int64       // ... and of all that the pod may have
	limit  int64       // emptyDir and ephemeral, bytes, 0 is none

	path     string // hostPath and claims
	claim    string // claims with a folder of their own: below the policy's root
	hostType v1.HostPathType
	export   *initapi.NFS // nfs
	fuse     bool         // hostPath of FuseDevice, which is the sandbox's
	readOnly bool         // whatever the mounts say
}

// file is one file of a configMap, secret, projected or downwardAPI volume.
type file struct {
	data []byte
	mode os.FileMode
	uid  *int64
	sent bool // interLink resolved it: its content stands
}

// target is a mount point of another volume inside a payload volume.
type target struct {
	path string
	file bool
}

// dirMode is the mode of the volume's own folder. With an fsGroup the kubelet
// adds setgid and access of the group, for writing only where the volume is
// writable.
func (v *volume) dirMode() os.FileMode {
	mode, group := os.FileMode(0o755), os.FileMode(0o550)
	if v.isScratch() {
		mode, group = v.mode, 0o770
	}
	if v.gid != nil {
		mode |= group | os.ModeSetgid
	}
	return mode
}

// isScratch says that the volume is an empty folder of the pod's own.
func (v *volume) isScratch() bool { return v.kind == kindEmptyDir || v.kind == kindEphemeral }

// fileMode is the mode of one payload file: with an fsGroup the kubelet adds
// 0440 to the files of read-only volumes.
func (v *volume) fileMode(f file) os.FileMode {
	if v.gid != nil {
		return f.mode | 0o440
	}
	return f.mode
}

// plan collects the volumes of a pod and all that is wrong with them.
type plan struct {
	pod    *v1.Pod
	data   Data
	policy Policy

	volumes  map[string]*volume
	names    []string
	problems field.ErrorList
	warnings []string
}

// refuse adds a fault of the field that messages call at.
func (p *plan) refuse(at, format string, args ...any) {
	p.problems = append(p.problems, &field.Error{Type: field.ErrorTypeInvalid, Field: at, Detail: fmt.Sprintf(format, args...)})
}

// warn says what the pod will miss of the field that messages call at.
func (p *plan) warn(at, format string, args ...any) {
	p.warnings = append(p.warnings, at+": "+fmt.Sprintf(format, args...))
}

// fsGroup is the group of the pod's volumes, nil if the pod names none.
func fsGroup(pod *v1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// containers lists init containers, then containers.
func containers(pod *v1.Pod) []*v1.Container {
	var list []*v1.Container
	for i := range pod.Spec.InitContainers {
		list = append(list, &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		list = append(list, &pod.Spec.Containers[i])
	}
	return list
}
