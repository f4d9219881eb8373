package volumes

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
	switch {
	case item.FieldRef != nil:
		return podField(p.pod, item.FieldRef.FieldPath)
	case item.ResourceFieldRef != nil:
		return p.resourceField(item.ResourceFieldRef)
	default:
		return "", fmt.Errorf("path %q has neither fieldRef nor resourceFieldRef", item.Path)
	}
}

// podField gives a field of the pod in the kubelet's form.
func podField(pod *v1.Pod, path string) (string, error) {
	if field, key, ok := subscript(path); ok {
		switch field {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	}
	return "", fmt.Errorf("fieldPath %q was not sent and cannot be resolved here", path)
}

// subscript splits metadata.labels['key'] into its field and key.
func subscript(path string) (field, key string, ok bool) {
	field, rest, ok := strings.Cut(path, "['")
	if !ok {
		return "", "", false
	}
	key, ok = strings.CutSuffix(rest, "']")
	return field, key, ok
}

func formatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}

// resourceField gives a limit or request of a container in units of the
// divisor, rounded up. A limit that is not set is what the node has.
func (p *plan) resourceField(ref *v1.ResourceFieldSelector) (string, error) {
	var found *v1.Container
	for _, c := range containers(p.pod) {
		if c.Name == ref.ContainerName {
			found = c
		}
	}
	if found == nil {
		return "", fmt.Errorf("resourceFieldRef names container %q, which is not in the pod", ref.ContainerName)
	}
	kind, name, _ := strings.Cut(ref.Resource, ".")
	var amount resource.Quantity
	var ok bool
	switch kind {
	case "limits":
		if amount, ok = found.Resources.Limits[v1.ResourceName(name)]; !ok || amount.IsZero() {
			amount = p.policy.Allocatable[v1.ResourceName(name)]
		}
	case "requests":
		amount = found.Resources.Requests[v1.ResourceName(name)]
	}
	if (kind != "limits" && kind != "requests") || !measurable(name) {
		return "", fmt.Errorf("resource %q is not one a volume can show", ref.Resource)
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if divisor.Sign() < 0 {
		return "", fmt.Errorf("divisor %s of %q is negative", divisor.String(), ref.Resource)
	}
	value, unit := amount.Value(), divisor.Value()
	if name == string(v1.ResourceCPU) {
		value, unit = amount.MilliValue(), divisor.MilliValue()
	}
	return strconv.FormatInt(int64(math.Ceil(float64(value)/float64(unit))), 10), nil
}

func measurable(name string) bool {
	switch v1.ResourceName(name) {
	case v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage:
		return true
	}
	return strings.HasPrefix(name, v1.ResourceHugePagesPrefix)
}
