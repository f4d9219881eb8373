package podspec

import (
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// RuntimeClass is how the pods of a runtime class are run here. The operator says so; a pod
// says nothing but the name of the class.
type RuntimeClass struct {
	// Runtime makes the containers; it is one of the sandbox's engine, "" for its default.
	Runtime string `json:"runtime,omitempty"`
	// SandboxImage is what the pod's sandbox is made from, "" for that of other pods.
	SandboxImage string `json:"sandboxImage,omitempty"`
}

// RuntimeClassOf is how a validated pod is run.
func RuntimeClassOf(pod *v1.Pod, node Node) RuntimeClass {
	return node.RuntimeClasses[ptr.Deref(pod.Spec.RuntimeClassName, "")]
}

// checkRuntimeClass refuses a class that this node does not have.
func checkRuntimeClass(f *faults, pod *v1.Pod, node Node) {
	at, name := field.NewPath("spec", "runtimeClassName"), ptr.Deref(pod.Spec.RuntimeClassName, "")
	if name == "" {
		return
	}
	switch _, known := node.RuntimeClasses[name]; {
	case known:
	case len(node.RuntimeClasses) == 0:
		f.forbid(at, "%s: this node has no runtime classes; leave it out, devices come with the resources that a container asks for, "+
			"or ask the operator of this node to add the class to RuntimeClasses", shown(name))
	default:
		f.forbid(at, "%s is not a runtime class of this node; use one of %s, leave it out, or ask the operator of this node to add it to RuntimeClasses",
			shown(name), cut(strings.Join(slices.Sorted(maps.Keys(node.RuntimeClasses)), ", "), maxShown))
	}
}
