package podspec

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	amount "k8s.io/apimachinery/pkg/api/resource"
)

// Defaults are what a pod gets that does not ask for it itself.
type Defaults struct {
	// Limits and Requests of each container, as a LimitRange in the cluster has them in
	// default and defaultRequest.
	Limits, Requests v1.ResourceList
	// Env are variables of each container that defines none of that name, in either case.
	Env []v1.EnvVar
	// ShmBytes is the size of /dev/shm, 0 for the sandbox's own.
	ShmBytes int64
	// Zone is the file of the time zone ZoneName, which Env has as TZ.
	ZoneName string
	Zone     []byte
	// Authorities are certificates in PEM that containers trust beside those of their images.
	Authorities []byte
}

// WithDefaults is a pod as this node's defaults complete it. What the pod says itself
// wins, in its fields and in the annotation that stands for flags of docker run. The pod
// that is given stays as it is.
func WithDefaults(pod *v1.Pod, node Node) *v1.Pod {
	d := node.Defaults
	if len(d.Limits) == 0 && len(d.Requests) == 0 && len(d.Env) == 0 {
		return pod
	}
	flags, _ := parseFlags(pod, node) // Validate says what is wrong with them
	flagged := map[v1.ResourceName]bool{v1.ResourceCPU: flags.nanoCPUs > 0, v1.ResourceMemory: flags.memory > 0}
	out := pod.DeepCopy()
	for _, list := range [][]v1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range list {
			d.limit(out, &list[i], flagged)
			d.request(out, &list[i])
			d.variables(&list[i])
		}
	}
	return out
}

// limit gives a container the limits that neither it nor its pod as a whole has. A limit is
// never less than what the container requests.
func (d Defaults) limit(pod *v1.Pod, c *v1.Container, flagged map[v1.ResourceName]bool) {
	for name, limit := range d.Limits {
		own := Limit(pod, c, name)
		if _, set := c.Resources.Limits[name]; set || flagged[name] || !own.IsZero() {
			continue
		}
		if request := c.Resources.Requests[name]; request.Cmp(limit) > 0 {
			limit = request
		}
		give(&c.Resources.Limits, name, limit)
		// A request that is missing is the limit, unless there is a default for it.
		if _, set := c.Resources.Requests[name]; !set {
			request, known := d.Requests[name]
			if !known {
				request = limit
			}
			give(&c.Resources.Requests, name, request)
		}
	}
}

// request gives a container the requests of resources of which it names neither a limit,
// which would be its request, nor a request. Those of a pod as a whole are shared out by
// nobody.
func (d Defaults) request(pod *v1.Pod, c *v1.Container) {
	whole := podLevel(pod)
	for name, request := range d.Requests {
		_, requested := c.Resources.Requests[name]
		_, limited := c.Resources.Limits[name]
		_, wholeRequest := whole.Requests[name]
		_, wholeLimit := whole.Limits[name]
		if !requested && !limited && !wholeRequest && !wholeLimit {
			give(&c.Resources.Requests, name, request)
		}
	}
}

func give(list *v1.ResourceList, name v1.ResourceName, value amount.Quantity) {
	if *list == nil {
		*list = v1.ResourceList{}
	}
	(*list)[name] = value.DeepCopy()
}

// variables adds those that the container does not define. They come first, so that the
// container's own may refer to them.
func (d Defaults) variables(c *v1.Container) {
	var missing []v1.EnvVar
	for _, variable := range d.Env {
		if !slices.ContainsFunc(c.Env, func(own v1.EnvVar) bool { return strings.EqualFold(own.Name, variable.Name) }) {
			missing = append(missing, variable)
		}
	}
	c.Env = append(missing, c.Env...)
}
