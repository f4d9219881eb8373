package podspec

import (
	"fmt"
	"testing"
)

// TestRuntimeClass: the class of a pod chooses one of the operator's runtimes, and nothing
// else does.
func TestRuntimeClass(t *testing.T) {
	some := map[string]RuntimeClass{"crun": {Runtime: "crun-1.8"}, "usual": {}}
	for name, c := range map[string]struct {
		classes       map[string]RuntimeClass
		class         *string
		want, refused string
	}{
		"none":            {some, nil, "", ""},
		"an empty one":    {some, new(""), "", ""},
		"another runtime": {some, new("crun"), "crun-1.8", ""},
		"as usual":        {some, new("usual"), "", ""},
		"the runtime's name": {some, new("crun-1.8"), "",
			"spec.runtimeClassName: crun-1.8 is not a runtime class of this node; use one of crun, usual, leave it out, or ask the operator of this node to add it to RuntimeClasses"},
		"the engine's default": {some, new("runc"), "",
			"spec.runtimeClassName: runc is not a runtime class of this node; use one of crun, usual, leave it out, or ask the operator of this node to add it to RuntimeClasses"},
		"a path": {some, new("/bin/sh"), "",
			"spec.runtimeClassName: /bin/sh is not a runtime class of this node; use one of crun, usual, leave it out, or ask the operator of this node to add it to RuntimeClasses"},
		"a node without": {nil, new("crun"), "",
			"spec.runtimeClassName: crun: this node has no runtime classes; leave it out, devices come with the resources that a container asks for, or ask the operator of this node to add the class to RuntimeClasses"},
	} {
		t.Run(name, func(t *testing.T) {
			pod, node := plainPod(), Node{RuntimeClasses: c.classes}
			pod.Spec.RuntimeClassName = c.class
			got := ""
			if err := Refusal(Validate(pod, node)); err != nil {
				got = err.Error()
			}
			if got != c.refused {
				t.Errorf("refused with %q\nwant         %q", got, c.refused)
			}
			if class := RuntimeClassOf(pod, node); class.Runtime != c.want {
				t.Errorf("the runtime is %q, want %q", class.Runtime, c.want)
			}
		})
	}
}

// TestRuntimeClassOfManyClasses: the sentence is bounded.
func TestRuntimeClassOfManyClasses(t *testing.T) {
	node := Node{RuntimeClasses: map[string]RuntimeClass{}}
	for i := range 1000 {
		node.RuntimeClasses[fmt.Sprintf("class-%d", i)] = RuntimeClass{}
	}
	pod := plainPod()
	pod.Spec.RuntimeClassName = new("other")
	if err := Refusal(Validate(pod, node)); err == nil || len(err.Error()) > 400 {
		t.Errorf("refused with %v", err)
	}
}
