package pods

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
)

// validateSecurity refuses what a sandbox cannot grant, by field.
func (c Config) validateSecurity(pod *v1.Pod) error {
	if shared := pod.Spec.SecurityContext; shared != nil {
		if err := validateProfiles(shared.SeccompProfile, shared.AppArmorProfile, "spec.securityContext"); err != nil {
			return err
		}
	}
	for list, containers := range map[string][]v1.Container{
		"spec.initContainers": pod.Spec.InitContainers, "spec.containers": pod.Spec.Containers} {
		for i := range containers {
			if err := c.validateContainerSecurity(containers[i].SecurityContext, fmt.Sprintf("%s[%d].securityContext", list, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c Config) validateContainerSecurity(s *v1.SecurityContext, field string) error {
	if s == nil {
		return nil
	}
	if s.Privileged != nil && *s.Privileged && !c.AllowPrivileged {
		return invalid(field+".privileged", "privileged containers are not allowed on this node (AllowPrivilegedPods)")
	}
	if s.Capabilities != nil && !c.PrivilegedSandbox {
		for i, wanted := range s.Capabilities.Add {
			if name := capability(wanted); name != "ALL" && !slices.Contains(pool.Capabilities, name) {
				return invalid(fmt.Sprintf("%s.capabilities.add[%d]", field, i), "%s is not available on this node", name)
			}
		}
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
