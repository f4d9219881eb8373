package podspec

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// armor is a security context with a profile.
func armor(kind v1.AppArmorProfileType, name *string) v1.SecurityContext {
	return v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: kind, LocalhostProfile: name}}
}

// TestAppArmorProfiles: only what the operator allows, and nothing that would name another
// namespace or a stack.
func TestAppArmorProfiles(t *testing.T) {
	const local = v1.AppArmorProfileTypeLocalhost
	node := testNode
	node.AppArmorProfiles = []string{"k8s-*", "one"}
	node.RuntimeClasses = map[string]RuntimeClass{"other": {Runtime: "crun"}, "same": {}}
	for name, c := range map[string]struct {
		context v1.SecurityContext
		class   *string
		refused string
	}{
		"by a pattern":         {context: armor(local, new("k8s-a"))},
		"by its name":          {context: armor(local, new("one"))},
		"of the runtime":       {context: armor(v1.AppArmorProfileTypeRuntimeDefault, nil)},
		"class of the default": {context: armor(local, new("one")), class: new("same")},
		"not allowed":          {context: armor(local, new("one-more")), refused: "one-more is not a profile that pods of this node may have"},
		"no name":              {context: armor(local, nil), refused: "is not the name of a profile"},
		"of a namespace":       {context: armor(local, new(":k8s:k8s-a")), refused: "is not the name of a profile"},
		"stack":                {context: armor(local, new("k8s-a//&k8s-b")), refused: "is not the name of a profile"},
		"two lines":            {context: armor(local, new("k8s-a\nb")), refused: "is not the name of a profile"},
		"none":                 {context: armor(local, new("unconfined")), refused: "is not the name of a profile"},
		"name without a type":  {context: armor(v1.AppArmorProfileTypeUnconfined, new("one")), refused: "can be set with type Localhost only"},
		"another runtime":      {context: armor(local, new("one")), class: new("other"), refused: "spec.runtimeClassName: an AppArmor profile"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			pod.Spec.RuntimeClassName = c.class
			pod.Spec.Containers[0].SecurityContext = &c.context
			err := Refusal(Validate(pod, node))
			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("refused with %v, want %q", err, c.refused)
			}
		})
	}
	node.PrivilegedSandbox = true
	pod := plainPod()
	withSecurity(armor(local, new("one")))(pod)
	if err := Refusal(Validate(pod, node)); err == nil || !strings.Contains(err.Error(), "sandboxes of this node are privileged") {
		t.Errorf("in a privileged sandbox: %v", err)
	}
}

// TestAppArmorProfile: a container's own wins, and a privileged container has one, too.
func TestAppArmorProfile(t *testing.T) {
	const local = v1.AppArmorProfileTypeLocalhost
	shared := v1.PodSecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: local, LocalhostProfile: new("pod")}}
	privileged := armor(local, new("own"))
	privileged.Privileged = new(true)
	for name, c := range map[string]struct {
		own  *v1.SecurityContext
		want string
	}{
		"of the pod": {nil, "pod"}, "of the container": {new(armor(local, new("own"))), "own"}, "privileged": {&privileged, "own"},
		"none": {new(armor(v1.AppArmorProfileTypeUnconfined, nil)), ""}, "default": {new(armor(v1.AppArmorProfileTypeRuntimeDefault, nil)), ""},
	} {
		pod := plainPod()
		withPodSecurity(shared)(pod)
		pod.Spec.Containers[0].SecurityContext = c.own
		if got := AppArmorProfile(pod, &pod.Spec.Containers[0]); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
