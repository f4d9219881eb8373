package pods

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// validateSecurity refuses what a sandbox cannot grant, by field.
func (c Config) validateSecurity(pod *v1.Pod) error {
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
		if err := c.validateContainerSecurity(pod, named.SecurityContext, named.field+".securityContext"); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) validateContainerSecurity(pod *v1.Pod, s *v1.SecurityContext, field string) error {
	if s == nil {
		return nil
	}
	if s.Privileged != nil && *s.Privileged && !c.AllowPrivileged {
		return invalid(field+".privileged", "privileged containers are not allowed on this node (AllowPrivilegedPods)")
	}
	if s.Capabilities != nil && !c.PrivilegedSandbox {
		for i, wanted := range s.Capabilities.Add {
			if name := capability(wanted); name != "ALL" && !slices.Contains(podCapabilities(pod), name) {
				return invalid(fmt.Sprintf("%s.capabilities.add[%d]", field, i), "%s is not available on this node", name)
			}
		}
	}
	if s.ProcMount != nil && *s.ProcMount == v1.UnmaskedProcMount && !c.PrivilegedSandbox {
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
