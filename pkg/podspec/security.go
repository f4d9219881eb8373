package podspec

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// security checks the security context of a container, with that of the pod behind it.
func (f *faults) security(pod *v1.Pod, node Node, c namedContainer) {
	at := c.at.Child("securityContext")
	own, _ := contexts(pod, c.Container)
	f.id(at.Child("runAsUser"), own.RunAsUser)
	f.id(at.Child("runAsGroup"), own.RunAsGroup)
	if ptr.Deref(own.Privileged, false) {
		if !ptr.Deref(own.AllowPrivilegeEscalation, true) {
			f.invalid(at.Child("allowPrivilegeEscalation"), "cannot be false for a privileged container")
		}
		if !node.AllowPrivileged {
			f.forbid(at.Child("privileged"), "privileged containers are not allowed on this node (AllowPrivilegedPods)")
		}
	}
	if own.Capabilities != nil && !node.PrivilegedSandbox {
		for i, wanted := range own.Capabilities.Add {
			if name := capability(wanted); name != "ALL" && !slices.Contains(node.capabilities(pod), name) {
				f.forbid(at.Child("capabilities", "add").Index(i), "%s is not available on this node%s", shown(name), instead(name))
			}
		}
	}
	if ptr.Deref(own.ProcMount, "") == v1.UnmaskedProcMount && !node.PrivilegedSandbox {
		f.forbid(at.Child("procMount"), "Unmasked would let the container write the kernel settings of this host")
	}
	f.profiles(at, own.SeccompProfile, own.AppArmorProfile, node)
}

// profiles checks profiles that are files of a node.
func (f *faults) profiles(at *field.Path, seccomp *v1.SeccompProfile, apparmor *v1.AppArmorProfile, node Node) {
	if seccomp != nil {
		checkSeccomp(f, at.Child("seccompProfile"), seccomp, node)
	}
	if apparmor != nil {
		checkAppArmor(f, at.Child("appArmorProfile"), apparmor, node)
	}
}

// checkSeccomp checks a seccomp profile as the Kubernetes API does.
func checkSeccomp(f *faults, at *field.Path, profile *v1.SeccompProfile, node Node) {
	name, at := ptr.Deref(profile.LocalhostProfile, ""), at.Child("localhostProfile")
	switch {
	case profile.Type != v1.SeccompProfileTypeLocalhost && profile.LocalhostProfile != nil:
		f.invalid(at, "can be set with type Localhost only")
	case profile.Type != v1.SeccompProfileTypeLocalhost:
	case node.SeccompRoot == "":
		f.forbid(at, "this node has no profiles of its own: ask its operator for SeccompProfileRoot")
	case name == "" || path.IsAbs(name) || slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsRune(name, 0):
		f.invalid(at, "%s is not a relative path without ..", shown(name))
	}
}

// SeccompFile is the profile of type Localhost that a container has, below the node's
// folder of them, "" if it has none. As with kubelet, a privileged container has none.
func SeccompFile(pod *v1.Pod, c *v1.Container) string {
	own, shared := contexts(pod, c)
	profile := cmp.Or(own.SeccompProfile, shared.SeccompProfile)
	if profile == nil || profile.Type != v1.SeccompProfileTypeLocalhost || ptr.Deref(own.Privileged, false) {
		return ""
	}
	return ptr.Deref(profile.LocalhostProfile, "")
}

// secure applies the pod's and the container's security context; the
// container's wins.
func secure(spec *engine.Spec, pod *v1.Pod, c *v1.Container, node Node) {
	own, shared := contexts(pod, c)
	spec.User = userAndGroup(cmp.Or(own.RunAsUser, shared.RunAsUser), cmp.Or(own.RunAsGroup, shared.RunAsGroup))
	for _, group := range shared.SupplementalGroups {
		spec.GroupAdd = append(spec.GroupAdd, strconv.FormatInt(group, 10))
	}
	if shared.FSGroup != nil {
		spec.GroupAdd = append(spec.GroupAdd, strconv.FormatInt(*shared.FSGroup, 10))
	}
	spec.ReadonlyRootfs = ptr.Deref(own.ReadOnlyRootFilesystem, false)
	if !ptr.Deref(own.AllowPrivilegeEscalation, true) {
		spec.SecurityOpt = append(spec.SecurityOpt, "no-new-privileges")
	}
	if ptr.Deref(own.Privileged, false) {
		privilege(spec, pod, node)
		return
	}
	applyCapabilities(spec, own.Capabilities, pod, node)
	if unconfined(cmp.Or(own.SeccompProfile, shared.SeccompProfile)) {
		spec.SecurityOpt = append(spec.SecurityOpt, "seccomp=unconfined")
	}
	if profile := cmp.Or(own.AppArmorProfile, shared.AppArmorProfile); profile != nil && profile.Type == v1.AppArmorProfileTypeUnconfined {
		spec.SecurityOpt = append(spec.SecurityOpt, "apparmor=unconfined")
	}
	spec.UnmaskedSystemPaths = ptr.Deref(own.ProcMount, "") == v1.UnmaskedProcMount
}

// privilege gives a container what keeps it inside its sandbox: every capability
// of a pod, no filters, and the kernel's own files still read-only. A privileged
// sandbox makes it what it is elsewhere, root of the host.
func privilege(spec *engine.Spec, pod *v1.Pod, node Node) {
	if node.PrivilegedSandbox {
		spec.Privileged = true
		return
	}
	spec.CapAdd = node.capabilities(pod)
	spec.SecurityOpt = append(spec.SecurityOpt, "seccomp=unconfined", "apparmor=unconfined")
}

// WantsFuse says whether a container gets what it needs to mount FUSE file systems without
// asking for it: a privileged one has all devices with kubelet, too. In a privileged
// sandbox it really has.
func WantsFuse(c *v1.Container, node Node) bool {
	return node.Fuse && !node.PrivilegedSandbox && isPrivileged(c)
}

// MayMount says whether a container can mount by itself.
func MayMount(c *v1.Container, node Node) bool {
	return isPrivileged(c) && (node.MayMount || node.PrivilegedSandbox)
}

func isPrivileged(c *v1.Container) bool {
	return c.SecurityContext != nil && ptr.Deref(c.SecurityContext.Privileged, false)
}

// instead says what to do about a capability that is not available.
func instead(name string) string {
	if name != sysAdmin {
		return ""
	}
	return "; FUSE file systems are mounted below an emptyDir without it, and for other mounts ask the operator of this node for PrivilegedPodsMayMount"
}

// sysAdmin is the capability to mount, among much else.
const sysAdmin = "SYS_ADMIN"

// capabilities are those that a container may have: those of a sandbox without what leads
// out of it. A process that may mount can mount /proc anew and write the host's kernel
// settings, and one that may trace the sandbox's engine is that engine.
func (n Node) capabilities(pod *v1.Pod) []string {
	return slices.DeleteFunc(slices.Clone(n.Capabilities), func(name string) bool {
		return name == sysAdmin && !n.MayMount || name == "SYS_PTRACE" && pod.Spec.HostPID
	})
}

// applyCapabilities gives and takes what a container asks for; ALL stands for those that
// a pod can have.
func applyCapabilities(spec *engine.Spec, wanted *v1.Capabilities, pod *v1.Pod, node Node) {
	if wanted == nil {
		return
	}
	for _, name := range wanted.Drop {
		spec.CapDrop = append(spec.CapDrop, capability(name))
	}
	for _, name := range wanted.Add {
		if name := capability(name); name == "ALL" && !node.PrivilegedSandbox {
			spec.CapAdd = append(spec.CapAdd, node.capabilities(pod)...)
		} else {
			spec.CapAdd = append(spec.CapAdd, name)
		}
	}
}

// capability without the prefix that some people write.
func capability(name v1.Capability) string {
	return strings.TrimPrefix(strings.ToUpper(string(name)), "CAP_")
}

// unconfined says whether a profile lets every system call through.
func unconfined(profile *v1.SeccompProfile) bool {
	return profile != nil && profile.Type == v1.SeccompProfileTypeUnconfined
}
