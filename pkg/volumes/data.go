package volumes

import (
	"maps"

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
