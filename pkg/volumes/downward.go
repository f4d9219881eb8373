package volumes

import (
	"fmt"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// addDownwardAPI gives downward API files their modes, and resolves those that
// interLink did not send from the pod itself. Its items are those of source number source,
// or of the whole volume.
func (f payload) addDownwardAPI(source int, items []v1.DownwardAPIVolumeFile) {
	for i := range items {
		item := &items[i]
		at := fmt.Sprintf("sources[%d] downwardAPI items[%d]", source, i)
		if f.volume.kind == kindDownwardAPI {
			at = fmt.Sprintf("items[%d]", i)
		}
		if err := checkMode(item.Mode); err != nil {
			f.refuse("%s: %v", at, err)
		}
		clean, err := cleanItemPath(item.Path)
		if err != nil {
			f.refuse("%s: %v", at, err)
			continue
		}
		itemOpts := f.options.item(item.Mode, item.User)
		if f.setOptions(clean, itemOpts) {
			continue
		}
		value, err := f.plan.downwardValue(item)
		if err != nil {
			f.refuse("%s: %v", at, err)
			continue
		}
		f.addFile(at, clean, []byte(value), itemOpts)
	}
}

// downwardValue is the content of one file, as the kubelet writes it.
func (p *plan) downwardValue(item *v1.DownwardAPIVolumeFile) (string, error) {
	about := podspec.Downward{Pod: p.pod, Allocatable: p.policy.Allocatable}
	switch {
	case item.FieldRef != nil:
		return about.Field(item.FieldRef)
	case item.ResourceFieldRef != nil:
		return about.Resource(item.ResourceFieldRef, nil)
	default:
		return "", fmt.Errorf("path %s has neither fieldRef nor resourceFieldRef", item.Path)
	}
}
