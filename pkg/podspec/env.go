package podspec

import (
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Environment is a container's variables in order, each name once.
type Environment struct {
	names  []string
	values map[string]string
	// Skipped names have a source that nobody resolved (protocol 5.1).
	Skipped []string
	// size in bytes of all of them; long is the first that no process could get.
	size int
	long string
}

// NewEnvironment builds a container's variables as kubelet does: $(NAME) refers
// to variables earlier in the list, and the last of several equal names wins
// (protocol 5.1). What the Virtual Kubelet left unresolved is resolved from the
// pod where it can be.
func NewEnvironment(pod *v1.Pod, c *v1.Container, podIP string) Environment {
	env := Environment{values: map[string]string{}}
	for _, variable := range c.Env {
		value := expand(variable.Value, env.lookup)
		if variable.ValueFrom != nil {
			resolved, known := resolve(pod, c, variable.ValueFrom, podIP)
			if !known {
				env.Skipped = append(env.Skipped, variable.Name)
				continue
			}
			value = resolved
		}
		if _, again := env.values[variable.Name]; !again {
			env.names = append(env.names, variable.Name)
		}
		env.values[variable.Name] = value
		size := len(variable.Name) + len("=") + len(value) + len("\x00")
		if env.size += size; size > maxArgument || env.size > maxArguments {
			env.long = variable.Name
			return env
		}
	}
	return env
}

func (e Environment) lookup(name string) (string, bool) {
	value, known := e.values[name]
	return value, known
}

// list is the form that an engine takes; "NAME=" is set but empty.
func (e Environment) list() []string {
	out := make([]string, 0, len(e.names))
	for _, name := range e.names {
		out = append(out, name+"="+e.values[name])
	}
	return out
}

func (e Environment) expandAll(in []string) []string {
	if in == nil {
		return nil
	}
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = expand(s, e.lookup)
	}
	return out
}

func resolve(pod *v1.Pod, c *v1.Container, from *v1.EnvVarSource, podIP string) (string, bool) {
	switch {
	case from.FieldRef != nil:
		return field(pod, from.FieldRef.FieldPath, podIP)
	case from.ResourceFieldRef != nil:
		return resourceField(pod, c, from.ResourceFieldRef)
	}
	return "", false
}

func field(pod *v1.Pod, path, podIP string) (string, bool) {
	switch path {
	case "metadata.name":
		return pod.Name, true
	case "metadata.namespace":
		return pod.Namespace, true
	case "metadata.uid":
		return string(pod.UID), true
	case "spec.nodeName":
		return pod.Spec.NodeName, true
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, true
	case "status.podIP", "status.podIPs":
		return podIP, podIP != ""
	case "status.hostIP", "status.hostIPs":
		return pod.Status.HostIP, pod.Status.HostIP != ""
	}
	for prefix, from := range map[string]map[string]string{"metadata.labels": pod.Labels, "metadata.annotations": pod.Annotations} {
		if len(path) > len(prefix)+4 && path[:len(prefix)+2] == prefix+"['" && path[len(path)-2:] == "']" {
			// As in Kubernetes, a key that is not there makes an empty variable.
			return from[path[len(prefix)+2:len(path)-2]], true
		}
	}
	return "", false
}

func resourceField(pod *v1.Pod, c *v1.Container, ref *v1.ResourceFieldSelector) (string, bool) {
	if ref.ContainerName != "" && ref.ContainerName != c.Name {
		if c = FindContainer(pod, ref.ContainerName); c == nil {
			return "", false
		}
	}
	var quantity resource.Quantity
	var known bool
	switch kind, name := splitResource(ref.Resource); kind {
	case "limits":
		quantity, known = c.Resources.Limits[v1.ResourceName(name)]
	case "requests":
		// As in kubelet, a request that is not set is 0.
		quantity, known = c.Resources.Requests[v1.ResourceName(name)], true
	}
	if !known {
		return "", false
	}
	return divide(quantity, ref.Divisor), true
}

func splitResource(path string) (kind, name string) {
	for _, kind := range []string{"limits", "requests"} {
		if len(path) > len(kind) && path[:len(kind)+1] == kind+"." {
			return kind, path[len(kind)+1:]
		}
	}
	return "", ""
}

// divide rounds up, as Kubernetes does for a resourceFieldRef; no divisor is 1.
func divide(q, divisor resource.Quantity) string {
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	milli, by := q.MilliValue(), divisor.MilliValue()
	if by <= 0 {
		return q.String()
	}
	quotient := milli / by
	if milli%by > 0 {
		quotient++
	}
	return strconv.FormatInt(quotient, 10)
}
