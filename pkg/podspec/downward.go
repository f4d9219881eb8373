package podspec

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Downward answers what the containers of a pod ask about the pod itself: a fieldRef or
// a resourceFieldRef, in a variable or in a file of a volume. The answers are kubelet's
// and the same for both.
type Downward struct {
	Pod *v1.Pod
	// IP of the pod, "" as long as it has none.
	IP string
	// Allocatable is what the node has for pods: the answer for a limit that is not set.
	Allocatable v1.ResourceList
}

// Field gives the value of a field of the pod. A key of labels or annotations that
// is not there gives an empty text, as in Kubernetes. The error says that the
// field has no value here.
func (d Downward) Field(ref *v1.ObjectFieldSelector) (string, error) {
	value := d.field(ref.FieldPath)
	if value == nil {
		return "", fmt.Errorf("fieldPath %s cannot be resolved on this node", ref.FieldPath)
	}
	return *value, nil
}

// field is nil for a field without a value here.
func (d Downward) field(path string) *string {
	if name, key, ok := subscript(path); ok {
		switch name {
		case "metadata.labels":
			return new(d.Pod.Labels[key])
		case "metadata.annotations":
			return new(d.Pod.Annotations[key])
		}
		return nil
	}
	switch path {
	case "metadata.name":
		return &d.Pod.Name
	case "metadata.namespace":
		return &d.Pod.Namespace
	case "metadata.uid":
		return new(string(d.Pod.UID))
	case "metadata.labels":
		return new(lines(d.Pod.Labels))
	case "metadata.annotations":
		return new(lines(d.Pod.Annotations))
	case "spec.nodeName":
		return &d.Pod.Spec.NodeName
	case "spec.serviceAccountName":
		return &d.Pod.Spec.ServiceAccountName
	case "status.podIP", "status.podIPs":
		return unlessEmpty(d.IP)
	case "status.hostIP", "status.hostIPs":
		return unlessEmpty(d.Pod.Status.HostIP)
	}
	return nil
}

// unlessEmpty is nil for an empty text: an address that is not known yet.
func unlessEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// subscript splits metadata.labels['key'] into its field and its key.
func subscript(path string) (field, key string, ok bool) {
	field, rest, ok := strings.Cut(path, "['")
	if !ok {
		return "", "", false
	}
	key, ok = strings.CutSuffix(rest, "']")
	return field, key, ok && key != ""
}

// lines is a map in the form of the downward API, key="value", ordered by key.
func lines(m map[string]string) string {
	out := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(out, "\n")
}

// Resource gives a limit or a request in units of the divisor, rounded up; the units
// are cores and bytes where there is no divisor. An unset limit of CPU, memory or
// storage is that of the pod as a whole, or what the node has for pods, and an unset
// request is 0. own is the
// container that asks, nil for a volume, which has to name one. The error says
// which part of the reference has no answer.
func (d Downward) Resource(ref *v1.ResourceFieldSelector, own *v1.Container) (string, error) {
	c := own
	if ref.ContainerName != "" && (own == nil || ref.ContainerName != own.Name) {
		c = FindContainer(d.Pod, ref.ContainerName)
	}
	if c == nil {
		return "", fmt.Errorf("resourceFieldRef names container %s, which is not in the pod", ref.ContainerName)
	}
	kind, text, _ := strings.Cut(ref.Resource, ".")
	name := v1.ResourceName(text)
	if (kind != "limits" && kind != "requests") || !measurable(name) {
		return "", fmt.Errorf("%s is not a resource that the downward API shows", ref.Resource)
	}
	amount := c.Resources.Requests[name]
	if kind == "limits" {
		if amount = Limit(d.Pod, c, name); amount.IsZero() {
			amount = d.Allocatable[name]
		}
	}
	return divide(name, amount, ref.Divisor)
}

// measurable resources are those that the downward API knows (Kubernetes API).
func measurable(name v1.ResourceName) bool {
	switch name {
	case v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage:
		return true
	}
	return strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix)
}

// divide rounds up, as kubelet does; no divisor is 1. CPUs are counted in
// thousandths, all else in whole units.
func divide(name v1.ResourceName, amount, divisor resource.Quantity) (string, error) {
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if divisor.Sign() < 0 {
		return "", errors.New("the divisor of a resourceFieldRef must not be negative")
	}
	value, unit := amount.Value(), divisor.Value()
	if name == v1.ResourceCPU {
		value, unit = amount.MilliValue(), divisor.MilliValue()
	}
	return strconv.FormatInt(int64(math.Ceil(float64(value)/float64(unit))), 10), nil
}
