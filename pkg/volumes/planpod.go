package volumes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// supportedKinds names the kinds of volume to users.
const supportedKinds = "emptyDir, configMap, secret, projected, downwardAPI, hostPath, persistentVolumeClaim, ephemeral, image and nfs are"

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

// planVolume decides one volume. A volume that no container mounts is left out,
// with a warning where it would have been refused: its container may be one
// that stays in the cluster, and no data is sent for it (protocol 1.3 and 6.1).
func (p *plan) planVolume(at string, src *v1.Volume, mounted bool) {
	// By the names of the JSON, so that kinds added to Kubernetes later are named as well.
	kinds := setFields(src.VolumeSource)
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
	case kindEphemeral:
		p.planEphemeral(v, src.Ephemeral)
	case kindImage:
		p.planImage(v, src.Image)
	case kindNFS:
		p.planNFS(v, src.NFS, nil)
	default:
		p.refuse(v.field, "not supported by this node; %s", supportedKinds)
	}
}

// supported says whether this node has the kind of volume.
func supported(kind string) bool {
	switch kind {
	case kindConfigMap, kindSecret, kindProjected, kindDownwardAPI, kindEmptyDir, kindHostPath, kindClaim, kindEphemeral, kindImage, kindNFS:
		return true
	}
	return false
}

// planEmptyDir decides the mode, the limit and the medium of an emptyDir.
func (p *plan) planEmptyDir(v *volume, src *v1.EmptyDirVolumeSource) {
	v.folder = emptyDirFolder + "/" + v.name
	v.gid = fsGroup(p.pod)
	v.mode = 0o777
	switch src.Medium {
	case v1.StorageMediumDefault:
	case v1.StorageMediumMemory:
		// Kubelet mounts it without a mode, and the kernel's default for one is this.
		v.memory, v.mode = true, 0o777|os.ModeSticky
	case v1.StorageMediumHugePages:
		p.planHugePages(v, src.Medium)
	default:
		if strings.HasPrefix(string(src.Medium), string(v1.StorageMediumHugePagesPrefix)) {
			p.planHugePages(v, src.Medium)
			break
		}
		p.refuse(v.field, "medium %s is not supported by this node; use Memory, HugePages, or leave it empty", src.Medium)
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

// planHugePages decides on the file system of a medium of huge pages. Its size is that of
// what the pod may have, as kubelet's is without a limit of its own.
func (p *plan) planHugePages(v *volume, medium v1.StorageMedium) {
	pages, wrong := podspec.VolumeHugePages(p.pod, medium)
	if wrong != "" {
		p.refuse(v.field, "%s", wrong)
	}
	v.pages, v.most, v.mode = pages.PageBytes, pages.Bytes, 0o777
}

// planImage has the rules of the Kubernetes API. Whether the image can be had is seen when
// a container needs it.
func (p *plan) planImage(v *volume, src *v1.ImageVolumeSource) {
	v.readOnly = true
	if src.Reference == "" {
		p.refuse(v.field, "needs a reference, the name of an image")
	}
	switch src.PullPolicy {
	case "", v1.PullAlways, v1.PullNever, v1.PullIfNotPresent:
	default:
		p.refuse(v.field, "pullPolicy %s is none of Always, Never and IfNotPresent", src.PullPolicy)
	}
}

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
	if v.fuse = p.policy.Fuse && v.path == initapi.FuseDevice; v.fuse {
		if v.hostType != v1.HostPathUnset && v.hostType != v1.HostPathCharDev {
			p.refuse(v.field, "path %s is a character device and not what type %s asks for", src.Path, v.hostType)
		}
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
