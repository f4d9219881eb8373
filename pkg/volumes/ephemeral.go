package volumes

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// planEphemeral makes a folder of the pod of a claim that lives with the pod. Nothing
// provisions a volume here, so a claim that asks for content is refused.
func (p *plan) planEphemeral(v *volume, src *v1.EphemeralVolumeSource) {
	v.folder, v.gid, v.mode = "ephemeral/"+v.name, fsGroup(p.pod), 0o777
	if src.VolumeClaimTemplate == nil {
		p.refuse(v.field, "needs a volumeClaimTemplate")
		return
	}
	spec := &src.VolumeClaimTemplate.Spec
	p.refuseBlock(v, "volumeClaimTemplate", spec.VolumeMode)
	var asked []string
	for field, set := range map[string]bool{"dataSource": spec.DataSource != nil, "dataSourceRef": spec.DataSourceRef != nil,
		"selector": spec.Selector != nil, "volumeName": spec.VolumeName != ""} {
		if set {
			asked = append(asked, field)
		}
	}
	if len(asked) > 0 {
		p.refuse(v.field, "volumeClaimTemplate asks for a certain volume (%s); this node has an empty folder for it, so leave that out", strings.Join(slices.Sorted(slices.Values(asked)), ", "))
	}
	size, ok := spec.Resources.Limits[v1.ResourceStorage]
	if !ok {
		size = spec.Resources.Requests[v1.ResourceStorage]
	}
	if size.Sign() <= 0 {
		p.refuse(v.field, "volumeClaimTemplate needs resources.requests.storage")
	}
	v.limit = size.Value()
}
