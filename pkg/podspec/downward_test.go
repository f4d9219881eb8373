package podspec

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestUnsetLimits: an unset limit, or one of 0, is what the node has for pods, an unset
// request is none, and a variable of the container says the same as a file of a volume.
func TestUnsetLimits(t *testing.T) {
	node := testNode
	node.Allocatable = amounts("cpu", "3500m", "memory", "8Gi", "ephemeral-storage", "100Gi")
	pod := plainPod()
	withResources(amounts("cpu", "0"), amounts("memory", "64Mi"))(pod)
	main := &pod.Spec.Containers[0]
	for _, c := range []struct{ resource, divisor, want string }{
		{"limits.cpu", "", "4"},
		{"limits.cpu", "1m", "3500"},
		{"limits.memory", "1Mi", "8192"},
		{"limits.ephemeral-storage", "1Gi", "100"},
		{"limits.hugepages-2Mi", "", "0"},
		{"requests.cpu", "", "0"},
		{"requests.memory", "1Mi", "64"},
		{"requests.ephemeral-storage", "", "0"},
	} {
		t.Run(c.resource+" "+c.divisor, func(t *testing.T) {
			variable := resourceVar("V", "", c.resource, c.divisor)
			main.Env = []v1.EnvVar{variable}
			env := NewEnvironment(pod, main, node, testIP, nil)
			if got, known := env.lookup("V"); !known || got != c.want {
				t.Errorf("variable: %q, want %q", got, c.want)
			}
			ref := *variable.ValueFrom.ResourceFieldRef
			ref.ContainerName = "main"
			if got, err := (Downward{Pod: pod, Allocatable: node.Allocatable}).Resource(&ref, nil); err != nil || got != c.want {
				t.Errorf("file: %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestDownwardWithoutAnAnswer: nothing is made up.
func TestDownwardWithoutAnAnswer(t *testing.T) {
	pod := plainPod()
	about := Downward{Pod: pod, Allocatable: amounts("cpu", "1")}
	for _, path := range []string{"", "metadata", "status.podIP", "status.hostIP", "status.phase", "spec.labels['a']", "metadata.labels['']"} {
		if got, err := about.Field(&v1.ObjectFieldSelector{FieldPath: path}); err == nil {
			t.Errorf("field %q is %q", path, got)
		}
	}
	for name, ref := range map[string]v1.ResourceFieldSelector{
		"no container":      {Resource: "limits.cpu"},
		"other container":   {Resource: "limits.cpu", ContainerName: "other"},
		"device":            {Resource: "limits.nvidia.com/gpu", ContainerName: "main"},
		"no kind":           {Resource: "cpu", ContainerName: "main"},
		"negative divisor":  {Resource: "limits.cpu", ContainerName: "main", Divisor: resource.MustParse("-1")},
		"kind of something": {Resource: "claims.cpu", ContainerName: "main"},
	} {
		if got, err := about.Resource(&ref, nil); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}
