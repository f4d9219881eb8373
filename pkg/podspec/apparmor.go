package podspec

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// appArmorName is what a profile may be called. Namespaces and stacks have other signs.
var appArmorName = regexp.MustCompile(`^[A-Za-z0-9/][-A-Za-z0-9._/@+]*$`)

// checkAppArmor checks an AppArmor profile as the Kubernetes API does, and whether pods of
// this node may have it.
func checkAppArmor(f *faults, at *field.Path, profile *v1.AppArmorProfile, node Node) {
	name, at := ptr.Deref(profile.LocalhostProfile, ""), at.Child("localhostProfile")
	switch {
	case profile.Type != v1.AppArmorProfileTypeLocalhost && profile.LocalhostProfile != nil:
		f.invalid(at, "can be set with type Localhost only")
	case profile.Type != v1.AppArmorProfileTypeLocalhost:
	case len(node.AppArmorProfiles) == 0:
		f.forbid(at, "this node has no profiles of its own: ask its operator for AppArmorProfiles")
	case node.PrivilegedSandbox:
		f.forbid(at, "sandboxes of this node are privileged, and their containers have no profile of their own")
	case !appArmorName.MatchString(name) || name == "unconfined":
		f.invalid(at, "%s is not the name of a profile", shown(name))
	case !node.allowsAppArmor(name):
		f.forbid(at, "%s is not a profile that pods of this node may have; ask its operator to add it to AppArmorProfiles", shown(name))
	}
}

// allowsAppArmor says whether the operator allows a profile, by its name or by a pattern
// that ends with *.
func (n Node) allowsAppArmor(name string) bool {
	return slices.ContainsFunc(n.AppArmorProfiles, func(allowed string) bool {
		prefix, pattern := strings.CutSuffix(allowed, "*")
		return name == allowed || pattern && strings.HasPrefix(name, prefix)
	})
}

// AppArmorProfile is the profile of type Localhost that a container has, "" if it has none.
// As with kubelet, a privileged container has it, too.
func AppArmorProfile(pod *v1.Pod, c *v1.Container) string {
	own, shared := contexts(pod, c)
	profile := cmp.Or(own.AppArmorProfile, shared.AppArmorProfile)
	if profile == nil || profile.Type != v1.AppArmorProfileTypeLocalhost {
		return ""
	}
	return ptr.Deref(profile.LocalhostProfile, "")
}

// checkAmended refuses what needs a runtime of docker-sd's own where the pod's class has
// another one.
func checkAmended(f *faults, pod *v1.Pod, node Node) {
	runtime := RuntimeClassOf(pod, node).Runtime
	if runtime == "" {
		return
	}
	at := field.NewPath("spec", "runtimeClassName")
	if AsksForHugePages(pod) {
		f.forbid(at, "huge pages need the runtime that pods have without a class; leave one of them out")
	}
	for _, c := range Containers(pod) {
		if AppArmorProfile(pod, &c) != "" {
			f.forbid(at, "an AppArmor profile of type Localhost needs the runtime that pods have without a class; leave one of them out")
			return
		}
	}
}
