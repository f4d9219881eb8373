package podspec

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// validateSecurity refuses what a sandbox cannot grant, by field.
func validateSecurity(pod *v1.Pod, node Node) error {
	for _, c := range namedContainers(pod) {
		for i, m := range c.VolumeMounts {
			if m.MountPropagation != nil && *m.MountPropagation == v1.MountPropagationBidirectional {
				return invalid(fmt.Sprintf("%s.volumeMounts[%d].mountPropagation", c.field, i),
					"Bidirectional is not supported by this node: a pod does not mount into its host")
			}
		}
	}
	if shared := pod.Spec.SecurityContext; shared != nil {
		if err := validateProfiles(shared.SeccompProfile, shared.AppArmorProfile, "spec.securityContext"); err != nil {
			return err
		}
	}
	for _, named := range namedContainers(pod) {
		if err := validateContainerSecurity(pod, node, named.SecurityContext, named.field+".securityContext"); err != nil {
			return err
		}
	}
	return nil
}

func validateContainerSecurity(pod *v1.Pod, node Node, s *v1.SecurityContext, field string) error {
	if s == nil {
		return nil
	}
	if s.Privileged != nil && *s.Privileged && !node.AllowPrivileged {
		return invalid(field+".privileged", "privileged containers are not allowed on this node (AllowPrivilegedPods)")
	}
	if s.Capabilities != nil && !node.PrivilegedSandbox {
		for i, wanted := range s.Capabilities.Add {
			if name := capability(wanted); name != "ALL" && !slices.Contains(node.capabilities(pod), name) {
				return invalid(fmt.Sprintf("%s.capabilities.add[%d]", field, i), "%s is not available on this node", name)
			}
		}
	}
	if s.ProcMount != nil && *s.ProcMount == v1.UnmaskedProcMount && !node.PrivilegedSandbox {
		return invalid(field+".procMount", "Unmasked would let the container write this host's kernel settings")
	}
	return validateProfiles(s.SeccompProfile, s.AppArmorProfile, field)
}

func validateProfiles(seccomp *v1.SeccompProfile, apparmor *v1.AppArmorProfile, field string) error {
	if seccomp != nil && seccomp.Type == v1.SeccompProfileTypeLocalhost {
		return invalid(field+".seccompProfile", "Localhost profiles are not available on this node")
	}
	if apparmor != nil && apparmor.Type == v1.AppArmorProfileTypeLocalhost {
		return invalid(field+".appArmorProfile", "Localhost profiles are not available on this node")
	}
	return nil
}

// secure applies the pod's and the container's security context; the
// container's wins.
func secure(spec *engine.Spec, pod *v1.Pod, c *v1.Container, node Node) {
	own := c.SecurityContext
	if own == nil {
		own = &v1.SecurityContext{}
	}
	shared := pod.Spec.SecurityContext
	if shared == nil {
		shared = &v1.PodSecurityContext{}
	}
	spec.User = userAndGroup(cmp.Or(own.RunAsUser, shared.RunAsUser), cmp.Or(own.RunAsGroup, shared.RunAsGroup))
	for _, group := range shared.SupplementalGroups {
		spec.GroupAdd = append(spec.GroupAdd, strconv.FormatInt(group, 10))
	}
	if shared.FSGroup != nil {
		spec.GroupAdd = append(spec.GroupAdd, strconv.FormatInt(*shared.FSGroup, 10))
	}
	spec.ReadonlyRootfs = ptr.Deref(own.ReadOnlyRootFilesystem, false)
	if own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation {
		spec.SecurityOpt = append(spec.SecurityOpt, "no-new-privileges")
	}
	if own.Privileged != nil && *own.Privileged {
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
	spec.UnmaskedSystemPaths = own.ProcMount != nil && *own.ProcMount == v1.UnmaskedProcMount
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

// capabilities that a container may have are those of a sandbox without what leads out of it: whoever
// may mount can mount /proc anew and write the host's kernel settings, and who
// may trace the sandbox's engine is that engine.
func (n Node) capabilities(pod *v1.Pod) []string {
	return slices.DeleteFunc(slices.Clone(n.Capabilities), func(name string) bool {
		return name == "SYS_ADMIN" || name == "SYS_PTRACE" && pod.Spec.HostPID
	})
}

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

func unconfined(profile *v1.SeccompProfile) bool {
	return profile != nil && profile.Type == v1.SeccompProfileTypeUnconfined
}
