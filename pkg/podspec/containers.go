package podspec

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// ContainerName is the name of a container's instance inside the sandbox (protocol 8.1).
func ContainerName(pod *v1.Pod, container string) string {
	return fmt.Sprintf("%s-%s-%s", pod.Namespace, pod.UID, container)
}

// PauseName is the name of the container that owns a pod's process namespace. It
// cannot be another's: those are DNS labels.
func PauseName(pod *v1.Pod) string { return ContainerName(pod, "_pause") }

// Containers lists copies of a pod's init containers, then of its main ones, in the
// order of the spec.
func Containers(pod *v1.Pod) []v1.Container {
	return slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
}

// FindContainer is the container of the pod with that name, nil if there is none.
func FindContainer(pod *v1.Pod, name string) *v1.Container {
	for _, list := range [][]v1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// IsSidecar tells a native sidecar: an init container that is kept running.
func IsSidecar(c *v1.Container) bool {
	return ptr.Deref(c.RestartPolicy, "") == v1.ContainerRestartPolicyAlways
}

// namedContainer is a container and where it stands in the pod.
type namedContainer struct {
	*v1.Container
	at   *field.Path
	init bool
}

// namedContainers lists a pod's containers in the order of its spec.
func namedContainers(pod *v1.Pod) []namedContainer {
	var out []namedContainer
	spec := field.NewPath("spec")
	for i := range pod.Spec.InitContainers {
		out = append(out, namedContainer{&pod.Spec.InitContainers[i], spec.Child("initContainers").Index(i), true})
	}
	for i := range pod.Spec.Containers {
		out = append(out, namedContainer{&pod.Spec.Containers[i], spec.Child("containers").Index(i), false})
	}
	return out
}
