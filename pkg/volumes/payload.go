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

// defaultFileMode is the mode of files of a volume that names none, as in Kubernetes.
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

// payload collects the files of one volume: a configMap, secret, projected or downwardAPI.
type payload struct {
	plan   *plan
	volume *volume
	// options are those of the volume, for files whose item names none.
	options fileOptions
}

// payload starts a volume of files below a folder of the pod's folder.
func (p *plan) payload(v *volume, folder string, mode *int32, uid *int64) payload {
	v.folder = folder + "/" + v.name
	v.gid = fsGroup(p.pod)
	v.readOnly = true
	v.files = map[string]file{}
	f := payload{plan: p, volume: v, options: fileOptions{mode: defaultFileMode}.item(mode, uid)}
	if err := checkMode(mode); err != nil {
		f.refuse("defaultMode: %v", err)
	}
	return f
}

// refuse adds a fault of the volume.
func (f payload) refuse(format string, args ...any) {
	f.plan.refuse(f.volume.field, format, args...)
}

// warn says what the pod will miss of the volume.
func (f payload) warn(format string, args ...any) {
	f.plan.warn(f.volume.field, format, args...)
}

// addWhole makes a volume of one object. One that was not sent is refused, unless it is
// optional.
func (f payload) addWhole(o object, items []v1.KeyToPath, optional *bool) {
	if !o.sent {
		if !isTrue(optional) {
			f.refuse("%s %s was not sent with the pod; create it in namespace %s or mark the volume optional", o.kind, o.name, f.plan.pod.Namespace)
		}
		return
	}
	f.addObject(o, items, isTrue(optional))
	f.checkFiles()
}

// addObject adds the keys of an object: all of them, or the listed items under
// their paths.
func (f payload) addObject(o object, items []v1.KeyToPath, optional bool) {
	if len(items) == 0 {
		for _, key := range slices.Sorted(maps.Keys(o.keys)) {
			f.addFile(fmt.Sprintf("%s %s key %s", o.kind, o.name, key), key, o.keys[key], f.options)
		}
		return
	}
	for i, item := range items {
		at := fmt.Sprintf("items[%d]", i)
		if err := checkMode(item.Mode); err != nil {
			f.refuse("%s: %v", at, err)
		}
		if err := checkKey(item.Key); err != nil {
			f.refuse("%s: %v", at, err)
			continue
		}
		clean, err := cleanItemPath(item.Path)
		if err != nil {
			f.refuse("%s: %v", at, err)
			continue
		}
		content, ok := o.keys[item.Key]
		if !ok && (optional || f.volume.files[clean].sent) {
			continue
		}
		if !ok {
			f.refuse("%s: %s %s has no key %s; add the key or mark the volume optional", at, o.kind, o.name, item.Key)
			continue
		}
		f.addFile(at, clean, content, f.options.item(item.Mode, item.User))
	}
}

// addFile adds a file under a path. A later one replaces an earlier one, as
// with the kubelet, but not one that was sent.
func (f payload) addFile(at, name string, content []byte, opts fileOptions) {
	clean, err := cleanItemPath(name)
	if err != nil {
		f.refuse("%s: %v", at, err)
		return
	}
	if !f.volume.files[clean].sent {
		f.volume.files[clean] = file{data: content, mode: opts.mode, uid: opts.uid}
	}
}

// checkKey refuses names that no key of a ConfigMap or a Secret can have.
func checkKey(key string) error {
	if key == "" || path.IsAbs(key) || hasBackstep(key) {
		return fmt.Errorf("key %s must not be empty or absolute or have .. in it", key)
	}
	return nil
}

// checkFiles refuses a path that is a file and the folder of another file.
func (f payload) checkFiles() {
	for _, name := range slices.Sorted(maps.Keys(f.volume.files)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := f.volume.files[dir]; ok {
				f.refuse("path %s is a file, but %s needs it as a folder", dir, name)
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

// isFile tells whether a mount is known to show a file: one of a payload volume, or a host
// path of such a type.
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

// isTrue is the value of a field that means false where it is not set.
func isTrue(b *bool) bool { return b != nil && *b }

// checkMode checks the mode of a payload file.
func checkMode(mode *int32) error {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		return fmt.Errorf("mode %#o is not between 0 and 0777", *mode)
	}
	return nil
}

// setOptions gives a file that was sent its mode and owner; it reports whether
// there is such a file.
func (f payload) setOptions(clean string, opts fileOptions) bool {
	sent, ok := f.volume.files[clean]
	if ok {
		sent.mode, sent.uid = opts.mode, opts.uid
		f.volume.files[clean] = sent
	}
	return ok
}
