package volumes

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
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
	// Claims by their own name; all are of the pod's namespace.
	Claims map[string]v1.PersistentVolumeClaim `json:"claims,omitempty"`
	// Volumes are persistent volumes by their own name.
	Volumes map[string]v1.PersistentVolume `json:"volumes,omitempty"`
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

// AddClaims merges the persistent volume claims of one container of a create request, and
// the volumes that they are bound to.
func (d *Data) AddClaims(claims []v1.PersistentVolumeClaim, volumes []v1.PersistentVolume) {
	for _, c := range claims {
		put(&d.Claims, c.Name, c)
	}
	for _, v := range volumes {
		put(&d.Volumes, v.Name, v)
	}
}

// bound is the volume that a claim of a namespace is bound to, nil if none was sent.
func (d Data) bound(namespace, claim string) *v1.PersistentVolume {
	if v, sent := d.Volumes[d.Claims[claim].Spec.VolumeName]; sent {
		return &v
	}
	for _, name := range slices.Sorted(maps.Keys(d.Volumes)) {
		v := d.Volumes[name]
		if ref := v.Spec.ClaimRef; ref != nil && ref.Name == claim && ref.Namespace == namespace {
			return &v
		}
	}
	return nil
}

// put sets an entry of a map that may not exist yet.
func put[T any](m *map[string]T, name string, value T) {
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[name] = value
}

// object is a ConfigMap or a Secret, reduced to its keys.
type object struct {
	kind, name string
	keys       map[string][]byte
	// sent says that the request has it.
	sent bool
}

// configMap is what was sent of a ConfigMap.
func (d Data) configMap(name string) object {
	cm, sent := d.ConfigMaps[name]
	return object{"ConfigMap", name, configMapData(cm), sent}
}

// secret is what was sent of a Secret.
func (d Data) secret(name string) object {
	s, sent := d.Secrets[name]
	return object{"Secret", name, s.Data, sent}
}

// configMapData has the keys of both fields of a ConfigMap.
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
