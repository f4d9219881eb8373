package config

import "slices"

// setting ties a key of the file, and possibly an environment variable, to the
// place its value goes to. The type of dst decides what is accepted, see decoder.value.
type setting struct {
	key string
	env string // empty: file only
	dst any    // nil: accepted and ignored
}

// Destinations that accept something else than their plain type does.
type (
	// onlyOne is a switch that is on with 1 and off with anything else
	// (protocol 7.2). The file, where YAML has booleans, may also say true.
	onlyOne bool
	// byteCount is a number of bytes, written as a Kubernetes quantity.
	byteCount int64
	// quantity is a Kubernetes quantity, kept in canonical form.
	quantity string
	// textOrOff is a text that may be the word off, which without quotes is YAML's
	// boolean false.
	textOrOff string
)

// off is the word that switches a textOrOff off: the AdminAddress, for which operators
// are served on the socket alone.
const off = "off"

// settings lists every key and variable that is understood, in the order of config.yaml.
// Settings that were only variables before are also keys of the file, under the same name.
func (c *Config) settings() []setting {
	return slices.Concat([]setting{
		{"SidecarURL", "SIDECARURL", &c.SidecarURL},
		{"SidecarPort", "SIDECARPORT", &c.SidecarPort},
		{"Socket", "", &c.Socket},
		{"SocketMode", "", &c.SocketShare.Mode},
		{"SocketGroup", "", &c.SocketShare.Group},
		{"AdminAddress", "", (*textOrOff)(&c.AdminAddress)},
		{"BearerTokenFile", "", &c.Access.TokenFile},
		{"TLSCertFile", "", &c.Access.CertFile},
		{"TLSKeyFile", "", &c.Access.KeyFile},
		{"TLSClientCAFile", "", &c.Access.ClientCAFile},
		{"AllowedHosts", "", &c.Access.AllowedHosts},
		{"InterlinkAPI", "", c.InterlinkAPI.settings()},
		{"DataRootFolder", "", &c.DataRootFolder},
		{"VerboseLogging", "", &c.VerboseLogging},
		{"ErrorsOnlyLogging", "", &c.ErrorsOnlyLogging},
		{"LogFormat", "", (*string)(&c.LogFormat)},
		{"AccountingFile", "", &c.AccountingFile},
		{"DOCKER_HOST", "DOCKER_HOST", &c.DockerHost},
		{"DOCKER_CONFIG", "DOCKER_CONFIG", &c.DockerConfig},
		{"DockerNetworkSubnet", "", &c.DockerNetworkSubnet},
		{"NetworkMTU", "", &c.NetworkMTU},
		{"PodFirewall", "", (*string)(&c.PodFirewall)},
		{"PodsMayReachHost", "", &c.PodsMayReachHost},
		{"PodsMayReachMetadata", "", &c.PodsMayReachMetadata},
		{"AVAILABLEDINDS", "AVAILABLEDINDS", &c.AvailableDinds},
		{"GPUENABLED", "GPUENABLED", (*onlyOne)(&c.GPUEnabled)},
		{"GPUStrategy", "", (*string)(&c.GPU.Strategy)},
		{"GPUSharing", "", c.GPU.Sharing.settings()},
		{"GPUIgnoredXIDs", "", &c.GPU.IgnoredXIDs},
		{"GPUCriticalXIDs", "", &c.GPU.CriticalXIDs},
		{"GPUHoldDown", "", &c.GPU.HoldDown},
		{"GPULibraryPath", "", &c.GPU.LibraryPath},
		{"CDISpecDirs", "", &c.GPU.CDISpecDirs},
		{"FPGAEnabled", "FPGAENABLED", (*onlyOne)(&c.FPGA.Enabled)},
		{"XilinxToolsPath", "", &c.FPGA.ToolsPath},
		{"VitisPath", "", &c.FPGA.VitisPath},
		{"XRTPath", "", &c.FPGA.XRTPath},
		{"FPGA_DISABLE_BOOKKEEPING", "FPGA_DISABLE_BOOKKEEPING", (*onlyOne)(&c.FPGA.DisableBookkeeping)},
		{"ENABLE_TRACING", "ENABLE_TRACING", (*onlyOne)(&c.Telemetry.Enabled)},
		{"TELEMETRY_UNIQUE_ID", "TELEMETRY_UNIQUE_ID", &c.Telemetry.UniqueID},
		{"TELEMETRY_ENDPOINT", "TELEMETRY_ENDPOINT", &c.Telemetry.Endpoint},
		{"TELEMETRY_CA_CRT_FILEPATH", "TELEMETRY_CA_CRT_FILEPATH", &c.Telemetry.CACertFile},
		{"TELEMETRY_CLIENT_CRT_FILEPATH", "TELEMETRY_CLIENT_CRT_FILEPATH", &c.Telemetry.ClientCertFile},
		{"TELEMETRY_CLIENT_KEY_FILEPATH", "TELEMETRY_CLIENT_KEY_FILEPATH", &c.Telemetry.ClientKeyFile},
		{"TELEMETRY_INSECURE_SKIP_VERIFY", "TELEMETRY_INSECURE_SKIP_VERIFY", &c.Telemetry.InsecureSkipVerify},
		{"Instance", "", &c.Instance},
		{"SandboxImage", "SANDBOXIMAGE", &c.SandboxImage},
		{"SandboxPrivileged", "", &c.SandboxPrivileged},
		{"SandboxAppArmorProfile", "", &c.SandboxAppArmorProfile},
		{"SandboxBootTimeout", "", &c.SandboxBootTimeout},
		{"SandboxBootParallel", "", &c.SandboxBootParallel},
		{"MostWarmSandboxes", "", &c.MostWarmSandboxes},
		{"StandbySandboxes", "", &c.StandbySandboxes},
		{"NetworkHolders", "", &c.NetworkHolders},
		{"ImageSharing", "", (*string)(&c.ImageSharing)},
		{"WritebackLimit", "", (*byteCount)(&c.WritebackLimit)},
		{"ImagePullTimeout", "", &c.ImagePullTimeout},
		{"ImagesToKeep", "", &c.ImagesToKeep},
		{"Registries", "", &c.Registries},
		{"ImagePullCredentialsVerificationPolicy", "", (*string)(&c.ImageVerification)},
		{"ImageGC", "", (*string)(&c.ImageGC)},
		{"ImageMaximumGCAge", "", &c.ImageMaximumGCAge},
		{"ImageMinimumGCAge", "", &c.ImageMinimumGCAge},
		{"ImageGCHighThresholdPercent", "", &c.ImageGCHighThresholdPercent},
		{"ImageGCLowThresholdPercent", "", &c.ImageGCLowThresholdPercent},
		{"HostPathPrefixes", "", &c.HostPathPrefixes},
		{"PersistentVolumeClaims", "", &c.PersistentVolumeClaims},
		{"PersistentVolumeClaimsToCVMFS", "", &c.PersistentVolumeClaimsToCVMFS},
		{"PersistentVolumeRoot", "", &c.Storage.Root},
		{"PersistentVolumeReclaim", "", (*string)(&c.Storage.Reclaim)},
		{"NFSServers", "", &c.Storage.NFSServers},
		{"AllowPrivilegedPods", "", &c.AllowPrivilegedPods},
		{"FuseMounts", "", &c.FuseMounts},
		{"PrivilegedPodsMayMount", "", &c.PrivilegedPodsMayMount},
		{"TrustedAnnotationFlags", "", &c.TrustedAnnotationFlags},
		{"AllowedUnsafeSysctls", "", &c.AllowedUnsafeSysctls},
		{"SeccompProfileRoot", "", &c.SeccompProfileRoot},
		{"AppArmorProfiles", "", &c.AppArmorProfiles},
		{"HostNetworkIsSandbox", "", &c.HostNetworkIsSandbox},
		{"RuntimeClasses", "", &c.RuntimeClasses},
		{"ExpandEnvironmentValues", "", &c.ExpandEnvironmentValues},
		{"PodDefaults", "", c.PodDefaults.settings()},
		{"MaxPods", "", &c.MaxPods},
		{"Capacity", "", c.Capacity.settings()},
		{"PingTaints", "", &c.PingTaints},
		{"SystemReserved", "", c.SystemReserved.settings()},
		{"PodPidsLimit", "", &c.PodPidsLimit},
		{"SingleProcessOOMKill", "", &c.SingleProcessOOMKill},
		{"EvictionHard", "", &c.EvictionHard},
		{"MaxBodyBytes", "", (*byteCount)(&c.MaxBodyBytes)},
		{"MaxRequests", "", &c.Access.MaxRequests},
		{"MaxRequestMemory", "", (*byteCount)(&c.Access.MaxRequestMemory)},
		{"MaxLogFollowers", "", &c.MaxLogFollowers},
		{"ContainerLogMaxSize", "", (*byteCount)(&c.ContainerLogMaxSize)},
		{"ContainerLogMaxFiles", "", &c.ContainerLogMaxFiles},
		{"ShutdownTimeout", "", &c.ShutdownTimeout},
		{"StrayGracePeriod", "", &c.StrayGracePeriod},
		{"StrayDryRun", "", &c.StrayDryRun},
		{"TombstonePeriod", "", &c.TombstonePeriod},
	}, c.ClusterNetwork.settings(), unused())
}

// unused lists what earlier versions read without effect on a Docker plugin
// (protocol 7.2). It stays accepted so that existing files load without a warning.
// A bad Tsocks value is still an error: the 2024 plugin dropped the whole
// configuration over it without a word.
func unused() []setting {
	list := []setting{{"Tsocks", "TSOCKS", new(bool)}}
	for _, key := range []string{
		"InterlinkURL", "InterlinkPort", "VKConfigPath", "VKTokenFile", "PodIP", "POD_IP",
		"ServiceAccount", "Namespace", "CommandPrefix", "ExportPodData", "BashPath",
		"SbatchPath", "ScancelPath", "SqueuePath", "TsocksConfig", "TsocksPath", "TsocksLoginNode",
		"SingularityPrefix", "SingularityPath", "SingularityDefaultOptions", "ImagePrefix", "EnableProbes",
	} {
		list = append(list, setting{key: key})
	}
	return list
}

func (s *GPUSharing) settings() []setting {
	return []setting{
		{key: "strategy", dst: (*string)(&s.Strategy)},
		{key: "renameByDefault", dst: &s.RenameByDefault},
		{key: "failRequestsGreaterThanOne", dst: &s.FailRequestsGreaterThanOne},
		{key: "resources", dst: &s.Resources},
		{key: "mpsPipeDirectory", dst: &s.MPSPipeDirectory},
		{key: "mpsShmDirectory", dst: &s.MPSShmDirectory},
	}
}

func (r *SharedResource) settings() []setting {
	return []setting{
		{key: "name", dst: &r.Name},
		{key: "rename", dst: &r.Rename},
		{key: "replicas", dst: &r.Replicas},
	}
}

func (c *Capacity) settings() []setting {
	return []setting{
		{key: "cpu", dst: (*quantity)(&c.CPU)},
		{key: "memory", dst: (*quantity)(&c.Memory)},
	}
}

func (t *Taint) settings() []setting {
	return []setting{
		{key: "key", dst: &t.Key},
		{key: "value", dst: &t.Value},
		{key: "effect", dst: &t.Effect},
	}
}

func (s *SystemReserved) settings() []setting {
	return []setting{
		{key: "memory", dst: (*byteCount)(&s.MemoryBytes)},
		{key: "pid", dst: &s.Pids},
	}
}
