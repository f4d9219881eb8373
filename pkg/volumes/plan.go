package volumes

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
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
)

// payloadFolders hold the volumes whose content the create brings, below the pod's folder.
var payloadFolders = []string{configMapFolder, secretFolder, projectedFolder}

const (
	configMapFolder = "configMaps"
	secretFolder    = "secrets"
	projectedFolder = "projected"
)

// supportedKinds names the kinds of volume to users.
const supportedKinds = "emptyDir, configMap, secret, projected, downwardAPI, hostPath and persistentVolumeClaim are"

// volume is one volume of the pod, decided but not yet made.
type volume struct {
	name  string
	kind  string
	field string // how messages name it: spec.volumes[0] data (emptyDir)

	folder string // below the pod's folder; empty for hostPath and claims
	gid    *int64 // fsGroup, nil for hostPath and claims

	files   map[string]file // payload kinds, by cleaned relative path
	targets []target        // payload kinds: places where other volumes are mounted

	mode   os.FileMode // emptyDir
	memory bool        // emptyDir of medium Memory
	limit  int64       // emptyDir, bytes, 0 is none

	path     string // hostPath and claims
	hostType v1.HostPathType
	readOnly bool // whatever the mounts say
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
	if v.kind == kindEmptyDir {
		mode, group = v.mode, 0o770
	}
	if v.gid != nil {
		mode |= group | os.ModeSetgid
	}
	return mode
}

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

// planPod decides everything that can be decided without touching a file.
func planPod(pod *v1.Pod, data Data, policy Policy) *plan {
	p := &plan{pod: pod, data: data, policy: policy, volumes: map[string]*volume{}}
	mounted := map[string]bool{}
	for _, c := range containers(pod) {
		for _, m := range c.VolumeMounts {
			mounted[m.Name] = true
		}
	}
	known := map[string]bool{}
	for i := range pod.Spec.Volumes {
		src := &pod.Spec.Volumes[i]
		at := fmt.Sprintf("spec.volumes[%d] %s", i, src.Name)
		if known[src.Name] {
			p.refuse(at, "a volume of this name exists already; rename one of them")
			continue
		}
		known[src.Name] = true
		if errs := validation.IsDNS1123Label(src.Name); len(errs) > 0 {
			p.refuse(at, "the name is not a DNS label: lower-case letters, digits and hyphens, at most 63 characters")
			continue
		}
		p.planVolume(at, src, mounted[src.Name])
	}
	p.checkContainers(known)
	p.planTargets()
	return p
}

// refuse adds a fault of the field that messages call at.
func (p *plan) refuse(at, format string, args ...any) {
	p.problems = append(p.problems, &field.Error{Type: field.ErrorTypeInvalid, Field: at, Detail: fmt.Sprintf(format, args...)})
}

// warn says what the pod will miss of the field that messages call at.
func (p *plan) warn(at, format string, args ...any) {
	p.warnings = append(p.warnings, at+": "+fmt.Sprintf(format, args...))
}

// planVolume decides one volume. A volume that no container mounts is left out,
// with a warning where it would have been refused: its container may be one
// that stays in the cluster, and no data is sent for it (protocol 1.3 and 6.1).
func (p *plan) planVolume(at string, src *v1.Volume, mounted bool) {
	kinds := sources(src.VolumeSource)
	if len(kinds) != 1 {
		if mounted {
			p.refuse(at, "needs exactly one source, found %d that this node knows (%s)", len(kinds), strings.Join(kinds, ", "))
		}
		return
	}
	v := &volume{name: src.Name, kind: kinds[0], field: fmt.Sprintf("%s (%s)", at, kinds[0])}
	if !mounted {
		if !supported(v.kind) {
			p.warn(v.field, "not supported by this node; ignored, because no container mounts it")
		}
		return
	}
	p.volumes[v.name] = v
	p.names = append(p.names, v.name)

	switch v.kind {
	case kindConfigMap:
		p.payload(v, configMapFolder, src.ConfigMap.DefaultMode, src.ConfigMap.DefaultUser).
			addWhole(p.data.configMap(src.ConfigMap.Name), src.ConfigMap.Items, src.ConfigMap.Optional)
	case kindSecret:
		p.payload(v, secretFolder, src.Secret.DefaultMode, src.Secret.DefaultUser).
			addWhole(p.data.secret(src.Secret.SecretName), src.Secret.Items, src.Secret.Optional)
	case kindProjected:
		p.planProjected(v, src.Projected.Sources, src.Projected.DefaultMode, src.Projected.DefaultUser)
	case kindDownwardAPI:
		// interLink rewrites these to projected volumes (protocol 5.2); one that
		// arrives as written has the same content.
		items := &v1.DownwardAPIProjection{Items: src.DownwardAPI.Items}
		p.planProjected(v, []v1.VolumeProjection{{DownwardAPI: items}}, src.DownwardAPI.DefaultMode, src.DownwardAPI.DefaultUser)
	case kindEmptyDir:
		p.planEmptyDir(v, src.EmptyDir)
	case kindHostPath:
		p.planHostPath(v, src.HostPath)
	case kindClaim:
		p.planClaim(v, src.PersistentVolumeClaim)
	default:
		p.refuse(v.field, "not supported by this node; %s", supportedKinds)
	}
}

// supported says whether this node has the kind of volume.
func supported(kind string) bool {
	switch kind {
	case kindConfigMap, kindSecret, kindProjected, kindDownwardAPI, kindEmptyDir, kindHostPath, kindClaim:
		return true
	}
	return false
}

// sources names the fields of a volume source that are set, as the pod's JSON
// does, so that kinds added to Kubernetes later are named as well.
func sources(src v1.VolumeSource) []string {
	var names []string
	value := reflect.ValueOf(src)
	for i := range value.NumField() {
		if !value.Field(i).IsNil() {
			name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// fsGroup is the group of the pod's volumes, nil if the pod names none.
func fsGroup(pod *v1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// planEmptyDir decides the mode, the limit and the medium of an emptyDir.
func (p *plan) planEmptyDir(v *volume, src *v1.EmptyDirVolumeSource) {
	v.folder = "emptyDirs/" + v.name
	v.gid = fsGroup(p.pod)
	v.mode = 0o777
	switch src.Medium {
	case v1.StorageMediumDefault:
	case v1.StorageMediumMemory:
		// Kubelet mounts it without a mode, and the kernel's default for one is this.
		v.memory, v.mode = true, 0o777|os.ModeSticky
	default:
		p.refuse(v.field, "medium %s is not supported by this node; use Memory or leave it empty", src.Medium)
	}
	if src.SizeLimit != nil {
		if src.SizeLimit.Sign() < 0 {
			p.refuse(v.field, "sizeLimit %s is negative", src.SizeLimit)
		}
		v.limit = src.SizeLimit.Value()
	}
	if src.Mode != nil {
		if *src.Mode < 0 || *src.Mode > 0o1777 {
			p.refuse(v.field, "mode %#o is not between 0 and 01777", *src.Mode)
		}
		v.mode = os.FileMode(*src.Mode & 0o777)
		if *src.Mode&0o1000 != 0 {
			v.mode |= os.ModeSticky
		}
	}
}

// planClaim looks a claim up by namespace and name, then by name alone, then
// takes the fallback (protocol 8.1: any claim means /cvmfs, kept behind
// configuration; protocol 8.2).
func (p *plan) planClaim(v *volume, src *v1.PersistentVolumeClaimVolumeSource) {
	full := p.pod.Namespace + "/" + src.ClaimName
	v.readOnly = src.ReadOnly
	var ok bool
	if v.path, ok = p.policy.Claims[full]; ok {
		return
	}
	if v.path, ok = p.policy.Claims[src.ClaimName]; ok {
		return
	}
	if v.path = p.policy.ClaimFallback; v.path == "" {
		p.refuse(v.field, "claim %s has no path on this node; ask its operator to add %s to PersistentVolumeClaims", src.ClaimName, full)
	}
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
