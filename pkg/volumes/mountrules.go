package volumes

import (
	"fmt"
	"path"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// checkContainers refuses what is wrong with the volume mounts of all containers. known are
// the names of the pod's volumes.
func (p *plan) checkContainers(known map[string]bool) {
	lists := []struct {
		field string
		list  []v1.Container
	}{
		{"spec.initContainers", p.pod.Spec.InitContainers},
		{"spec.containers", p.pod.Spec.Containers},
	}
	for _, l := range lists {
		for i := range l.list {
			c := &l.list[i]
			p.checkContainer(fmt.Sprintf("%s[%d] %s", l.field, i, c.Name), c, known)
		}
	}
}

// checkContainer refuses what is wrong with the volume mounts of one container.
func (p *plan) checkContainer(at string, c *v1.Container, known map[string]bool) {
	targets := map[string]bool{}
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		at := fmt.Sprintf("%s volumeMounts[%d] %s", at, i, m.MountPath)
		if !known[m.Name] {
			p.refuse(at, "volume %s is not among spec.volumes", m.Name)
		}
		clean := path.Clean(m.MountPath)
		switch {
		case !path.IsAbs(m.MountPath) || hasBackstep(m.MountPath):
			p.refuse(at, "mountPath must be an absolute path without ..")
		case strings.Contains(m.MountPath, ":"):
			p.refuse(at, "mountPath must not contain a colon") // as Kubernetes has it
		case clean == "/":
			p.refuse(at, "a volume cannot be mounted over the root of the container")
		case targets[clean]:
			p.refuse(at, "another volume is mounted at this path")
		}
		targets[clean] = true
		p.checkSubPath(at, m)
		p.checkMountOptions(at, c, m)
		p.checkRecursive(at, m)
	}
}

// checkSubPath refuses a subPath or subPathExpr that leads out of its volume.
func (p *plan) checkSubPath(at string, m *v1.VolumeMount) {
	if m.SubPath != "" && m.SubPathExpr != "" {
		p.refuse(at, "subPath and subPathExpr cannot both be set")
	}
	if err := checkSubPath(m.SubPath); err != nil {
		p.refuse(at, "subPath %s %v", m.SubPath, err)
	}
	if err := checkSubPath(m.SubPathExpr); err != nil {
		p.refuse(at, "subPathExpr %s %v", m.SubPathExpr, err)
	}
}

// checkMountOptions has the rules of the Kubernetes API for mountPropagation.
func (p *plan) checkMountOptions(at string, c *v1.Container, m *v1.VolumeMount) {
	if len(m.BindMountOptions) > 0 {
		p.refuse(at, "bindMountOptions are not supported by this node")
	}
	if m.MountPropagation == nil {
		return
	}
	switch *m.MountPropagation {
	case v1.MountPropagationNone, v1.MountPropagationHostToContainer:
	case v1.MountPropagationBidirectional:
		if !privileged(c) {
			p.refuse(at, "mountPropagation Bidirectional is for privileged containers only")
		}
	default:
		p.refuse(at, "mountPropagation %s is none of None, HostToContainer and Bidirectional", *m.MountPropagation)
	}
}

// checkRecursive has the rules of the Kubernetes API for recursiveReadOnly. Below a volume
// that is a folder of the pod nothing is mounted unless a container has it Bidirectional,
// so there a read-only mount is read-only all the way down. What is mounted below others,
// by the host or by that container, is out of reach of older engines: IfPossible allows
// that, and Enabled is refused.
func (p *plan) checkRecursive(at string, m *v1.VolumeMount) {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == v1.RecursiveReadOnlyDisabled {
		return
	}
	mode := *m.RecursiveReadOnly
	if mode != v1.RecursiveReadOnlyIfPossible && mode != v1.RecursiveReadOnlyEnabled {
		p.refuse(at, "recursiveReadOnly %s is none of Disabled, IfPossible and Enabled", mode)
		return
	}
	if !m.ReadOnly {
		p.refuse(at, "recursiveReadOnly %s needs readOnly", mode)
	}
	if m.MountPropagation != nil && *m.MountPropagation != v1.MountPropagationNone {
		p.refuse(at, "recursiveReadOnly %s needs mountPropagation None", mode)
	}
	v := p.volumes[m.Name]
	if mode == v1.RecursiveReadOnlyEnabled && v != nil && (v.kind == kindHostPath || v.kind == kindClaim) {
		p.refuse(at, "recursiveReadOnly Enabled is not supported by this node for a %s; use IfPossible", v.kind)
	}
	if mode == v1.RecursiveReadOnlyEnabled && p.isMountedInto(m.Name) {
		p.refuse(at, "recursiveReadOnly Enabled is not supported by this node for a volume that a container mounts Bidirectional; use IfPossible")
	}
}

// isMountedInto says whether a container may mount below a volume so that others see it.
func (p *plan) isMountedInto(volume string) bool {
	for _, c := range containers(p.pod) {
		for _, m := range c.VolumeMounts {
			if m.Name == volume && m.MountPropagation != nil && *m.MountPropagation == v1.MountPropagationBidirectional {
				return true
			}
		}
	}
	return false
}

// privileged says whether a container asks for privileged mode.
func privileged(c *v1.Container) bool {
	return c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
}
