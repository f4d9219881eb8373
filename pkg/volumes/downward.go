package volumes

import (
	"fmt"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// planDownwardAPI gives downward API files their modes, and resolves those that
// interLink did not send from the pod itself.
func (p *plan) planDownwardAPI(v *volume, source int, items []v1.DownwardAPIVolumeFile, opts fileOptions) {
	for i := range items {
		item := &items[i]
		at := fmt.Sprintf("sources[%d] downwardAPI items[%d]", source, i)
		if v.kind == kindDownwardAPI {
			at = fmt.Sprintf("items[%d]", i)
		}
		if err := checkMode(item.Mode); err != nil {
			p.refuse(v.field, "%s: %v", at, err)
		}
		clean, err := cleanItemPath(item.Path)
		if err != nil {
			p.refuse(v.field, "%s: %v", at, err)
			continue
		}
		itemOpts := opts.item(item.Mode, item.User)
		if p.setOptions(v, clean, itemOpts) {
			continue
		}
		value, err := p.downwardValue(item)
		if err != nil {
			p.refuse(v.field, "%s: %v", at, err)
			continue
		}
		p.addFile(v, at, clean, []byte(value), itemOpts)
	}
}

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
