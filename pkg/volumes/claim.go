package volumes

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes/persistent"
)

// planClaim finds what a claim stands for: the operator's path for it, by namespace and name
// and then by name alone; the volume that it is bound to, if that was sent; a folder of its
// own; the operator's path for all claims (protocol 8.1 and 8.2).
func (p *plan) planClaim(v *volume, src *v1.PersistentVolumeClaimVolumeSource) {
	full := p.pod.Namespace + "/" + src.ClaimName
	claim := p.data.Claims[src.ClaimName]
	v.readOnly = src.ReadOnly || onlyRead(claim.Spec.AccessModes)
	p.refuseBlock(v, "claim "+src.ClaimName, claim.Spec.VolumeMode)
	var ok bool
	if v.path, ok = p.policy.Claims[full]; ok {
		return
	}
	if v.path, ok = p.policy.Claims[src.ClaimName]; ok {
		return
	}
	if bound := p.data.bound(p.pod.Namespace, src.ClaimName); bound != nil {
		p.planBound(v, bound, full)
		return
	}
	if p.policy.ClaimRoot != "" {
		folder, err := persistent.Path(p.pod.Namespace, src.ClaimName)
		if err != nil {
			p.refuse(v.field, "claim %s: %v", src.ClaimName, err)
			return
		}
		v.claim, v.gid, v.path = folder, fsGroup(p.pod), filepath.Join(p.policy.ClaimRoot, folder)
		return
	}
	if v.path = p.policy.ClaimFallback; v.path == "" {
		p.refuse(v.field, "claim %s has no path on this node; ask its operator to add %s to PersistentVolumeClaims, or to set PersistentVolumeRoot", src.ClaimName, full)
	}
}

// planBound has a claim stand for the volume that it is bound to. From here on the volume
// is one of that volume's kind, with the rules for it.
func (p *plan) planBound(v *volume, bound *v1.PersistentVolume, claim string) {
	v.field = fmt.Sprintf("%s bound to %s", v.field, bound.Name)
	if ref := bound.Spec.ClaimRef; ref != nil && ref.Namespace+"/"+ref.Name != claim {
		p.refuse(v.field, "the volume is bound to another claim, %s/%s", ref.Namespace, ref.Name)
		return
	}
	v.readOnly = v.readOnly || onlyRead(bound.Spec.AccessModes)
	p.refuseBlock(v, "volume "+bound.Name, bound.Spec.VolumeMode)
	switch source := bound.Spec.PersistentVolumeSource; {
	case source.HostPath != nil:
		v.kind = kindHostPath
		p.planHostPath(v, source.HostPath)
	case source.Local != nil:
		v.kind = kindHostPath
		p.planHostPath(v, &v1.HostPathVolumeSource{Path: source.Local.Path, Type: new(v1.HostPathDirectory)})
	case source.NFS != nil:
		v.kind = kindNFS
		p.planNFS(v, source.NFS, bound.Spec.MountOptions)
	default:
		p.refuse(v.field, "a volume of kind %s is not supported by this node; nfs, hostPath and local are, or its operator adds %s to PersistentVolumeClaims",
			strings.Join(setFields(source), ", "), claim)
	}
}

// onlyRead says that all access modes are ReadOnlyMany, and that there are any.
func onlyRead(modes []v1.PersistentVolumeAccessMode) bool {
	return len(modes) > 0 && !slices.ContainsFunc(modes, func(m v1.PersistentVolumeAccessMode) bool { return m != v1.ReadOnlyMany })
}

// refuseBlock refuses what is a device and not a file system.
func (p *plan) refuseBlock(v *volume, what string, mode *v1.PersistentVolumeMode) {
	if mode != nil && *mode == v1.PersistentVolumeBlock {
		p.refuse(v.field, "%s has volumeMode Block, which is not supported by this node; use Filesystem", what)
	}
}

// setFields names the fields of a struct of pointers that are set, as its JSON does.
func setFields(source any) []string {
	var names []string
	value := reflect.ValueOf(source)
	for i := range value.NumField() {
		if !value.Field(i).IsNil() {
			name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// ClaimFolders are the folders below the policy's root that claims of a pod have, or would
// have if nothing else stood for them.
func ClaimFolders(pod *v1.Pod) []string {
	var out []string
	for i := range pod.Spec.Volumes {
		if src := pod.Spec.Volumes[i].PersistentVolumeClaim; src != nil {
			if folder, err := persistent.Path(pod.Namespace, src.ClaimName); err == nil && !slices.Contains(out, folder) {
				out = append(out, folder)
			}
		}
	}
	return out
}
