// Package config holds the settings of docker-sd: their meaning, defaults,
// sources and limits. It reads the configuration file that docker-sd has always
// shared with the interLink API and the environment variables of earlier
// versions (docs/interlink-protocol.md 7), and is the only package that reads the environment.
package config

import (
	"net/netip"
	"time"
)

// Images of a sandbox when SandboxImage is empty.
const (
	// DefaultSandboxImage boots a sandbox without GPUs.
	DefaultSandboxImage = "docker:dind"
	// DefaultGPUSandboxImage carries glibc and the NVIDIA container toolkit.
	DefaultGPUSandboxImage = "ghcr.io/extrality/nvidia-dind"
)

// AppArmorAuto leaves the profile of sandboxes to docker-sd.
const AppArmorAuto = "auto"

// ImageSharing says how a sandbox gets at images that the host already has.
type ImageSharing string

const (
	// ImageSharingAuto takes the cheapest way that the host's image store allows.
	ImageSharingAuto ImageSharing = "auto"
	// ImageSharingShared lends the host's layers read-only to the sandbox.
	ImageSharingShared ImageSharing = "shared"
	// ImageSharingCopy loads a copy of the image into the sandbox.
	ImageSharingCopy ImageSharing = "copy"
	// ImageSharingPull lets every sandbox pull for itself.
	ImageSharingPull ImageSharing = "pull"
)

// PodFirewall says whether there are rules for the networks of sandboxes.
type PodFirewall string

// The values of PodFirewall.
const (
	// PodFirewallEnabled makes the rules, and warns where that is not possible.
	PodFirewallEnabled PodFirewall = "enabled"
	// PodFirewallRequired makes no sandbox without them.
	PodFirewallRequired PodFirewall = "required"
	// PodFirewallDisabled leaves all to the administrator.
	PodFirewallDisabled PodFirewall = "disabled"
)

// ImageVerification is a policy of kubelet's imagePullCredentialsVerificationPolicy.
type ImageVerification string

// The policies; kubelet's NeverVerifyAllowlistedImages is not among them.
const (
	ImageNeverVerify          ImageVerification = "NeverVerify"
	ImageNeverVerifyPreloaded ImageVerification = "NeverVerifyPreloadedImages"
	ImageAlwaysVerify         ImageVerification = "AlwaysVerify"
)

// ImageGC says whether unused images are removed.
type ImageGC string

// The values of ImageGC.
const (
	ImageGCDisabled ImageGC = "disabled"
	ImageGCDryRun   ImageGC = "dry-run"
	ImageGCEnabled  ImageGC = "enabled"
)

// Config is the complete configuration. A value returned by Load is valid;
// field names are those of the file's keys unless the comment says otherwise.
type Config struct {
	// SidecarURL gives the host to listen on, "http://HOST"; empty means 127.0.0.1.
	// "unix://PATH" is taken as Socket, since the API accepts it there (protocol 1.1).
	SidecarURL string
	// SidecarPort is the TCP port to listen on, 0 to 65535; 0 is any free port.
	SidecarPort int
	// Socket is "unix://PATH" and wins over SidecarURL and SidecarPort; empty means TCP.
	Socket string
	// SocketShare holds SocketMode and SocketGroup.
	SocketShare SocketShare
	// AdminAddress is the TCP address of metrics and the status page, "off" for
	// none; use Admin. They are always on a socket in DataRootFolder.
	AdminAddress string

	// Access holds BearerTokenFile, the keys that begin with TLS, MaxRequests and
	// MaxRequestMemory.
	Access Access
	// InterlinkAPI makes docker-sd the API server of interLink as well.
	InterlinkAPI InterlinkAPI

	// DataRootFolder holds the data of pods; absolute and cleaned.
	DataRootFolder string
	// VerboseLogging and ErrorsOnlyLogging select the log level, see LogLevel.
	VerboseLogging    bool
	ErrorsOnlyLogging bool
	// LogFormat is how log lines are written.
	LogFormat LogFormat
	// AccountingFile gets a line for each pod that has ended, with what it has used; absolute
	// and cleaned, or "" for none.
	AccountingFile string

	// DockerHost (DOCKER_HOST) is the host's Docker engine; empty is the Docker client's default.
	DockerHost string
	// DockerConfig (DOCKER_CONFIG) is the folder with Docker's config.json, whose
	// registry credentials are used to pull; empty uses none.
	DockerConfig string
	// DockerNetworkSubnet lists the IPv4 ranges that sandbox networks are cut
	// from, /8 to /28, masked, without overlaps; empty takes a default range.
	DockerNetworkSubnet []netip.Prefix
	// NetworkMTU is the largest packet that sandbox networks carry, in bytes; 0 takes
	// that of the host's uplink.
	NetworkMTU int
	// ClusterNetwork holds the settings that begin with ClusterNetwork, and the proxies.
	ClusterNetwork ClusterNetwork
	// PodFirewall says whether pods are kept from the host, from metadata services
	// and from each other.
	PodFirewall PodFirewall
	// PodsMayReachHost lists the host's ports that pods may reach; use HostPorts.
	PodsMayReachHost []string
	// PodsMayReachMetadata opens the metadata services of clouds to pods.
	PodsMayReachMetadata bool
	// AvailableDinds (AVAILABLEDINDS) is the number of sandboxes kept warm, 0 to 127.
	AvailableDinds int
	// GPUEnabled (GPUENABLED) offers the host's NVIDIA GPUs to pods.
	GPUEnabled bool
	// GPU holds the other settings that begin with GPU, and CDISpecDirs.
	GPU GPU
	// FPGA holds FPGAEnabled, XilinxToolsPath, VitisPath, XRTPath and FPGA_DISABLE_BOOKKEEPING.
	FPGA FPGA
	// Telemetry holds ENABLE_TRACING and the TELEMETRY_ variables.
	Telemetry Telemetry

	// Instance names this docker-sd among those on one host; a DNS label.
	Instance string
	// SandboxImage (SANDBOXIMAGE) overrides the sandbox image; use SandboxImageName.
	SandboxImage string
	// SandboxPrivileged boots sandboxes fully privileged instead of with a capability list.
	SandboxPrivileged bool
	// SandboxAppArmorProfile is the profile of sandboxes on a host with AppArmor:
	// auto, unconfined, or the name of one; use AppArmorProfile.
	SandboxAppArmorProfile string
	// SandboxBootTimeout bounds the boot of one sandbox while it does not advance; above zero.
	SandboxBootTimeout time.Duration
	// SandboxBootParallel is the number of sandboxes booted at once, 0 for two
	// per CPU core; use BootParallel.
	SandboxBootParallel int
	// MostWarmSandboxes is how many are kept warm at most when pods come in bursts, 0 to
	// 127; up to AvailableDinds it changes nothing.
	MostWarmSandboxes int
	// StandbySandboxes is the number of sandboxes made but not started, for bursts;
	// -1 goes by AvailableDinds; use Standbys.
	StandbySandboxes int
	// NetworkHolders is the number of sandboxes' networks made ahead, each held by a
	// container; -1 goes by AvailableDinds; use Holders.
	NetworkHolders int
	// ImageSharing says how sandboxes get at the host's images.
	ImageSharing ImageSharing
	// ImagePullTimeout bounds one image pull; 0 is no limit.
	ImagePullTimeout time.Duration
	// ImagesToKeep are on the host before a pod asks for them.
	ImagesToKeep []string
	// Registries that are reached in another way than by their names alone.
	Registries []Registry
	// ImageVerification (ImagePullCredentialsVerificationPolicy) says which images of
	// the host a pod needs credentials for.
	ImageVerification ImageVerification
	// ImageGC removes images that only docker-sd pulled; the next four settings
	// mean what kubelet's of the same names mean.
	ImageGC ImageGC
	// ImageMaximumGCAge is how long an unused image stays; 0 is for ever.
	ImageMaximumGCAge time.Duration
	// ImageMinimumGCAge is how long an unused image stays when the disk is full.
	ImageMinimumGCAge time.Duration
	// ImageGCHighThresholdPercent of disk use starts a collection, 100 never.
	ImageGCHighThresholdPercent int
	// ImageGCLowThresholdPercent ends it; below the high one.
	ImageGCLowThresholdPercent int

	// HostPathPrefixes lists the host directories that hostPath volumes may
	// use; absolute and cleaned.
	HostPathPrefixes []string
	// PersistentVolumeClaims maps "namespace/claim" or "claim" to a host path; absolute and cleaned.
	PersistentVolumeClaims map[string]string
	// PersistentVolumeClaimsToCVMFS maps every claim without an entry to /cvmfs,
	// the stopgap of the 2024 plugin (protocol 8.1).
	PersistentVolumeClaimsToCVMFS bool
	// Storage is where claims are that nothing else stands for, and NFS servers for pods.
	Storage Storage
	// AllowPrivilegedPods honours securityContext.privileged within the sandbox.
	AllowPrivilegedPods bool
	// FuseMounts lets containers mount FUSE file systems over emptyDirs of their pod.
	FuseMounts bool
	// PrivilegedPodsMayMount gives privileged containers SYS_ADMIN, and with it what the
	// root of their sandbox can do.
	PrivilegedPodsMayMount bool
	// TrustedAnnotationFlags honours flags in docker-options.vk.io/flags that grant
	// something, too (protocol 6.1).
	TrustedAnnotationFlags bool
	// AllowedUnsafeSysctls are names of sysctls, or patterns that end with *, that pods
	// may set beside the safe ones.
	AllowedUnsafeSysctls []string
	// SeccompProfileRoot is the folder of the profiles that pods may name (type Localhost);
	// absolute and cleaned, or "" for none.
	SeccompProfileRoot string
	// AppArmorProfiles are names of AppArmor profiles, or patterns that end with *, that
	// pods may have (type Localhost).
	AppArmorProfiles []string
	// HostNetworkIsSandbox lets hostNetwork mean the network of the pod's sandbox.
	HostNetworkIsSandbox bool
	// RuntimeClasses maps the names of the cluster's runtime classes to how their pods are run.
	RuntimeClasses RuntimeClasses
	// ExpandEnvironmentValues expands $(NAME) in values of variables, for a Virtual
	// Kubelet that skips resolution (protocol 5.1).
	ExpandEnvironmentValues bool
	// PodDefaults complete pods that do not say themselves.
	PodDefaults PodDefaults

	// MaxPods is the pod capacity reported and enforced; 0 takes no new pods.
	MaxPods int
	// Capacity overrides the machine's resources in the ping answer.
	Capacity Capacity
	// PingTaints are the taints put on the node by the ping answer. Nil is not
	// reported and leaves the node's taints alone; empty and not nil removes them (protocol 2.4).
	PingTaints []Taint

	// SystemReserved is what all sandboxes together leave the host.
	SystemReserved SystemReserved
	// PodPidsLimit bounds the processes and threads of one sandbox; 0 is a share of the
	// host's.
	PodPidsLimit int
	// SingleProcessOOMKill leaves the other processes of a container alive when the kernel
	// kills one for memory, as control groups of version 1 do in any case.
	SingleProcessOOMKill bool
	// EvictionHard are disk thresholds by kubelet's signals; use Thresholds.
	EvictionHard map[string]string

	// MaxBodyBytes is the largest request body accepted, in bytes.
	MaxBodyBytes int64
	// MaxLogFollowers is the number of log streams followed at once.
	MaxLogFollowers int
	// WritebackLimit is how many bytes may wait for the host's disks, 0 for any.
	WritebackLimit int64
	// ContainerLogMaxSize is the size in bytes at which a container's log file is rotated.
	ContainerLogMaxSize int64
	// ContainerLogMaxFiles is the number of log files kept per container, 1 or more.
	ContainerLogMaxFiles int

	// ShutdownTimeout bounds the draining of requests at the end; above zero.
	ShutdownTimeout time.Duration
	// StrayGracePeriod is how long an unknown sandbox of ours is left alone before it is removed; above zero.
	StrayGracePeriod time.Duration
	// StrayDryRun has unknown sandboxes and folders of ours named in the log and never removed.
	StrayDryRun bool
	// TombstonePeriod is how long a deleted pod is remembered, 10 minutes or more.
	TombstonePeriod time.Duration
}

// GPU says how GPUs are watched, shared and put into containers.
type GPU struct {
	Strategy GPUStrategy // GPUStrategy
	Sharing  GPUSharing  // GPUSharing
	// IgnoredXIDs (GPUIgnoredXIDs) are no fault of the GPU, besides those that are
	// known as application errors; CriticalXIDs (GPUCriticalXIDs, formerly
	// GPUHeededXIDs) take a GPU out of use although they are among all these.
	IgnoredXIDs  []uint64
	CriticalXIDs []uint64
	// HoldDown (GPUHoldDown) is how long a GPU stays out after a fault; 1s or more.
	HoldDown time.Duration
	// LibraryPath (GPULibraryPath) is the path of NVML; empty means
	// libnvidia-ml.so.1 where the dynamic linker finds it.
	LibraryPath string
	// CDISpecDirs are searched for the CDI specification of the GPUs; a later
	// folder wins. Absolute and cleaned.
	CDISpecDirs []string
}

// GPUStrategy is a way in which GPUs get into containers.
type GPUStrategy string

// The strategies. Auto takes the first that works, in the order devices, cdi,
// nvidia-runtime.
const (
	GPUStrategyAuto    GPUStrategy = "auto"
	GPUStrategyDevices GPUStrategy = "devices"
	GPUStrategyCDI     GPUStrategy = "cdi"
	GPUStrategyRuntime GPUStrategy = "nvidia-runtime"
)

// GPUSharingStrategy says how several containers use one GPU at a time.
type GPUSharingStrategy string

// The strategies, named as NVIDIA's device plugin names them.
const (
	GPUSharingNone        GPUSharingStrategy = "none"
	GPUSharingTimeSlicing GPUSharingStrategy = "time-slicing"
	GPUSharingMPS         GPUSharingStrategy = "mps"
)

// GPUSharing has the fields of the section "sharing" of NVIDIA's device plugin.
type GPUSharing struct {
	Strategy                   GPUSharingStrategy
	RenameByDefault            bool
	FailRequestsGreaterThanOne bool
	Resources                  []SharedResource
	// MPSPipeDirectory and MPSShmDirectory are the folder of pipes and the /dev/shm
	// of the MPS control daemon that the administrator runs; absolute and cleaned.
	// The second is not the host's own /dev/shm: every sandbox mounts it.
	MPSPipeDirectory string
	MPSShmDirectory  string
}

// SharedResource is a resource of which each device is given to several
// containers at a time.
type SharedResource struct {
	Name     string // without sharing, for example nvidia.com/gpu
	Rename   string // name to publish instead, or empty
	Replicas int    // 2 or more
}

// FPGA holds the settings of Xilinx FPGAs. Paths are absolute and cleaned.
type FPGA struct {
	Enabled   bool   // FPGAEnabled
	ToolsPath string // XilinxToolsPath
	VitisPath string // VitisPath
	XRTPath   string // XRTPath
	// DisableBookkeeping (FPGA_DISABLE_BOOKKEEPING) lets pods share FPGAs, least used first.
	DisableBookkeeping bool
}

// Telemetry holds the settings of OTLP tracing, under the names that interLink uses.
type Telemetry struct {
	Enabled  bool   // ENABLE_TRACING
	UniqueID string // TELEMETRY_UNIQUE_ID; empty means a random one per process
	Endpoint string // TELEMETRY_ENDPOINT, host:port of an OTLP/gRPC collector
	// CACertFile (TELEMETRY_CA_CRT_FILEPATH) turns on mutual TLS and then
	// requires ClientCertFile and ClientKeyFile.
	CACertFile         string
	ClientCertFile     string // TELEMETRY_CLIENT_CRT_FILEPATH
	ClientKeyFile      string // TELEMETRY_CLIENT_KEY_FILEPATH
	InsecureSkipVerify bool   // TELEMETRY_INSECURE_SKIP_VERIFY
}

// Capacity holds Kubernetes quantities in canonical form, as the ping answer
// carries them (strings, protocol 2.4); empty means what the machine has.
type Capacity struct {
	CPU    string
	Memory string
}

// Taint is a node taint. Effect is NoSchedule, PreferNoSchedule or NoExecute.
type Taint struct {
	Key    string
	Value  string
	Effect string
}

// Access says who may call and what calls may cost. interLink itself knows
// neither token nor TLS on this hop (protocol 1.1), so all of it is off unless set.
type Access struct {
	Callers
	// AllowedHosts are names of this host under which callers may ask, beside
	// localhost, IP addresses, those of SidecarURL and AdminAddress, and the machine's own.
	AllowedHosts []string
	// MaxRequests is the number of calls at once, beside followed logs.
	MaxRequests int
	// MaxRequestMemory bounds the bodies of all calls, in bytes, and once more
	// what they are decoded into.
	MaxRequestMemory int64
}

// SystemReserved is what sandboxes leave the host; 0 is a part of what it has.
type SystemReserved struct {
	MemoryBytes int64 // SystemReserved.memory
	Pids        int   // SystemReserved.pid
}

// LogFormat is how log lines are written.
type LogFormat string

// The formats: lines for people, or one JSON object per line.
const (
	LogFormatText LogFormat = "text"
	LogFormatJSON LogFormat = "json"
)
