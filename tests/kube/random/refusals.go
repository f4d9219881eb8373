package random

import v1 "k8s.io/api/core/v1"

// any is a container of the pod, and its path.
func (m *maker) any() (*v1.Container, string) {
	i := m.IntN(len(m.Spec.Containers))
	return m.at(i), "spec.containers[" + string(rune('0'+i)) + "]"
}

func (m *maker) refuse(path string) { m.Refused = append(m.Refused, path) }

// refusals are wishes that the node must refuse by name.
var refusals = []func(*maker){
	func(m *maker) { m.Spec.HostUsers = new(false); m.refuse("spec.hostUsers") },
	func(m *maker) { m.Spec.OS = &v1.PodOS{Name: v1.Windows}; m.refuse("spec.os") },
	func(m *maker) { m.Spec.HostNetwork = true; m.refuse("spec.hostNetwork") },
	func(m *maker) { m.Spec.RuntimeClassName = new("not-here"); m.refuse("spec.runtimeClassName") },
	func(m *maker) {
		m.Spec.EphemeralContainers = []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "debug", Image: "x"}}}
		m.refuse("spec.ephemeralContainers")
	},
	func(m *maker) {
		m.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "claim"}}
		m.refuse("spec.resourceClaims")
	},
	func(m *maker) {
		m.podContext().Sysctls = append(m.podContext().Sysctls, v1.Sysctl{Name: "kernel.msgmax", Value: "9000"})
		m.refuse("kernel.msgmax")
	},
	func(m *maker) {
		m.podContext().WindowsOptions = &v1.WindowsSecurityContextOptions{HostProcess: new(false)}
		m.refuse("spec.securityContext.windowsOptions")
	},
	func(m *maker) {
		c, _ := m.any()
		m.mount(c, "disk", &v1.VolumeSource{GCEPersistentDisk: &v1.GCEPersistentDiskVolumeSource{PDName: "d"}}, v1.VolumeMount{MountPath: "/disk"})
		m.refuse("spec.volumes[")
	},
	func(m *maker) {
		c, _ := m.any()
		m.mount(c, "host", &v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/etc"}}, v1.VolumeMount{MountPath: "/host"})
		m.refuse("/etc")
	},
	func(m *maker) {
		c, _ := m.any()
		m.mount(c, "nfs", &v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: "nfs.example.org", Path: "/data"}}, v1.VolumeMount{MountPath: "/nfs"})
		m.refuse("nfs.example.org")
	},
	func(m *maker) {
		c, _ := m.any()
		mode := v1.MountPropagationBidirectional
		m.mount(c, "both", &v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}, v1.VolumeMount{MountPath: "/both", MountPropagation: &mode})
		m.refuse("mountPropagation")
	},
	func(m *maker) {
		c, at := m.any()
		c.Ports = append(c.Ports, v1.ContainerPort{ContainerPort: 7, Protocol: v1.ProtocolSCTP})
		m.refuse(at + ".ports")
	},
	func(m *maker) {
		c, at := m.any()
		c.VolumeDevices = []v1.VolumeDevice{{Name: "d", DevicePath: "/dev/d"}}
		m.refuse(at + ".volumeDevices")
	},
	func(m *maker) {
		c, at := m.any()
		context(c).Capabilities = &v1.Capabilities{Add: []v1.Capability{"SYS_MODULE"}}
		m.refuse(at + ".securityContext.capabilities")
	},
	func(m *maker) {
		c, at := m.any()
		c.Resources = v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceCPU: quantity("%d", 1)}, Requests: v1.ResourceList{v1.ResourceCPU: quantity("%d", 2)}}
		m.refuse(at + ".resources.requests")
	},
	func(m *maker) {
		c, _ := m.any()
		c.VolumeMounts = append(c.VolumeMounts, v1.VolumeMount{Name: "nowhere", MountPath: "/nowhere"})
		m.refuse("/nowhere: volume nowhere")
	},
	func(m *maker) {
		c, at := m.any()
		context(c).WindowsOptions = &v1.WindowsSecurityContextOptions{HostProcess: new(false)}
		m.refuse(at + ".securityContext.windowsOptions")
	},
	func(m *maker) {
		c, at := m.any()
		c.Name = "Not_A_Name"
		m.refuse(at + ".name")
	},
	func(m *maker) {
		c, at := m.any()
		context(c).AppArmorProfile = &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: new("not-here")}
		m.refuse(at + ".securityContext.appArmorProfile.localhostProfile")
	},
	func(m *maker) {
		c, at := m.any()
		c.Resources = v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceMemory: quantity("%dMi", 64), "hugepages-32Mi": quantity("%dMi", 32)}}
		m.refuse(at + ".resources.limits.hugepages-32Mi")
	},
}
