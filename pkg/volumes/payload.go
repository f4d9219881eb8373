package volumes

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

const defaultFileMode = 0o644

// fileOptions are the mode and the owner of files whose item names none.
type fileOptions struct {
	mode os.FileMode
	uid  *int64
}

// item gives the options of one item.
func (o fileOptions) item(mode *int32, uid *int64) fileOptions {
	if mode != nil {
		o.mode = os.FileMode(*mode) & os.ModePerm
	}
	if uid != nil {
		o.uid = uid
	}
	return o
}

// payload starts a volume of files.
func (p *plan) payload(v *volume, folder string, mode *int32, uid *int64) fileOptions {
	v.folder = folder + "/" + v.name
	v.gid = p.fsGroup()
	v.readOnly = true
	v.files = map[string]file{}
	if err := checkMode(mode); err != nil {
		p.refuse(v.field, "defaultMode: %v", err)
	}
	return fileOptions{mode: defaultFileMode}.item(mode, uid)
}

func (p *plan) planConfigMap(v *volume, src *v1.ConfigMapVolumeSource) {
	opts := p.payload(v, configMapFolder, src.DefaultMode, src.DefaultUser)
	cm, ok := p.data.ConfigMaps[src.Name]
	if !ok {
		p.notSent(v, "ConfigMap", src.Name, isTrue(src.Optional))
		return
	}
	p.addObject(v, object{"ConfigMap", src.Name, configMapData(cm)}, src.Items, isTrue(src.Optional), opts)
	p.checkFiles(v)
}

func (p *plan) planSecret(v *volume, src *v1.SecretVolumeSource) {
	opts := p.payload(v, secretFolder, src.DefaultMode, src.DefaultUser)
	s, ok := p.data.Secrets[src.SecretName]
	if !ok {
		p.notSent(v, "Secret", src.SecretName, isTrue(src.Optional))
		return
	}
	p.addObject(v, object{"Secret", src.SecretName, s.Data}, src.Items, isTrue(src.Optional), opts)
	p.checkFiles(v)
}

func (p *plan) notSent(v *volume, kind, name string, optional bool) {
	if optional {
		return
	}
	p.refuse(v.field, "%s %s was not sent with the pod; create it in namespace %s or mark the volume optional", kind, name, p.pod.Namespace)
}

// object is a ConfigMap or a Secret, reduced to its keys.
type object struct {
	kind, name string
	keys       map[string][]byte
}

func configMapData(cm v1.ConfigMap) map[string][]byte {
	keys := maps.Clone(cm.BinaryData)
	if keys == nil {
		keys = map[string][]byte{}
	}
	for k, value := range cm.Data {
		keys[k] = []byte(value)
	}
	return keys
}

// addObject adds the keys of an object: all of them, or the listed items under
// their paths.
func (p *plan) addObject(v *volume, o object, items []v1.KeyToPath, optional bool, opts fileOptions) {
	if len(items) == 0 {
		for _, key := range slices.Sorted(maps.Keys(o.keys)) {
			p.addFile(v, fmt.Sprintf("%s %s key %s", o.kind, o.name, key), key, o.keys[key], opts)
		}
		return
	}
	for i, item := range items {
		at := fmt.Sprintf("items[%d]", i)
		if err := checkMode(item.Mode); err != nil {
			p.refuse(v.field, "%s: %v", at, err)
		}
		if err := checkKey(item.Key); err != nil {
			p.refuse(v.field, "%s: %v", at, err)
			continue
		}
		clean, err := cleanItemPath(item.Path)
		if err != nil {
			p.refuse(v.field, "%s: %v", at, err)
			continue
		}
		content, ok := o.keys[item.Key]
		if !ok && (optional || v.files[clean].sent) {
			continue
		}
		if !ok {
			p.refuse(v.field, "%s: %s %s has no key %s; add the key or mark the volume optional", at, o.kind, o.name, item.Key)
			continue
		}
		p.addFile(v, at, clean, content, opts.item(item.Mode, item.User))
	}
}

// addFile adds a file under a path. A later one replaces an earlier one, as
// with the kubelet, but not one that was sent.
func (p *plan) addFile(v *volume, at, name string, content []byte, opts fileOptions) {
	clean, err := cleanItemPath(name)
	if err != nil {
		p.refuse(v.field, "%s: %v", at, err)
		return
	}
	if !v.files[clean].sent {
		v.files[clean] = file{data: content, mode: opts.mode, uid: opts.uid}
	}
}

func checkKey(key string) error {
	if key == "" || path.IsAbs(key) || hasBackstep(key) {
		return fmt.Errorf("key %s must not be empty, absolute or contain ..", key)
	}
	return nil
}

// checkFiles refuses a path that is a file and the folder of another file.
func (p *plan) checkFiles(v *volume) {
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := v.files[dir]; ok {
				p.refuse(v.field, "path %s is a file, but %s needs it as a folder", dir, name)
			}
		}
	}
}

// planTargets finds the places where other volumes are mounted inside payload
// volumes. These are read-only for the container runtime, so the mount points
// must exist beforehand, as the kubelet makes them. Unlike there, a mount point
// is a file where the source is known to be one.
func (p *plan) planTargets() {
	for _, c := range containers(p.pod) {
		for i := range c.VolumeMounts {
			outer := &c.VolumeMounts[i]
			v := p.volumes[outer.Name]
			if v == nil || v.files == nil || outer.SubPathExpr != "" {
				continue
			}
			for _, t := range p.nested(c, outer) {
				t.path = path.Join(outer.SubPath, t.path)
				if !slices.Contains(v.targets, t) {
					v.targets = append(v.targets, t)
				}
			}
		}
	}
}

// nested lists the outermost mount points of a container below a mount.
func (p *plan) nested(c *v1.Container, outer *v1.VolumeMount) []target {
	below := path.Clean(outer.MountPath) + "/"
	var list []target
	mounts := slices.SortedFunc(slices.Values(c.VolumeMounts), func(a, b v1.VolumeMount) int {
		return strings.Compare(path.Clean(a.MountPath), path.Clean(b.MountPath))
	})
	for i := range mounts {
		rel, ok := strings.CutPrefix(path.Clean(mounts[i].MountPath), below)
		if !ok || slices.ContainsFunc(list, func(t target) bool { return strings.HasPrefix(rel, t.path+"/") }) {
			continue
		}
		list = append(list, target{path: rel, file: p.isFile(&mounts[i])})
	}
	return list
}

func (p *plan) isFile(m *v1.VolumeMount) bool {
	v := p.volumes[m.Name]
	if v == nil {
		return false
	}
	switch v.hostType {
	case v1.HostPathFile, v1.HostPathFileOrCreate, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev:
		return m.SubPath == "" && m.SubPathExpr == ""
	}
	_, ok := v.files[path.Clean(m.SubPath)]
	return ok
}

func isTrue(b *bool) bool { return b != nil && *b }
