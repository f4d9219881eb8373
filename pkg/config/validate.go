package config

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	pathRule = "an absolute path other than /"
	// maxPids is the most that kernel.pid_max can be.
	maxPids    = 1 << 22
	claimRule  = "names as CLAIM or NAMESPACE/CLAIM"
	sysctlRule = "a name such as net.core.somaxconn or a pattern such as net.ipv4.*, of kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* or net.*"
)

// Validate returns the first setting that is out of its limits, as one
// line and an errdefs invalid argument. Load has called it already; it is for
// configurations made or changed in code.
func (c Config) Validate() error {
	_, _, listen := c.listen()
	for _, err := range []error{
		listen,
		c.SocketShare.validate(),
		c.validateNumbers(),
		c.validateEvictions(),
		c.validateDurations(),
		c.validateEngine(),
		c.validateGPU(),
		c.validatePaths(),
		c.validateSeparation(),
		c.validateStorage(),
		c.validateTelemetry(),
		c.validateObserve(),
		c.validateAccess(),
		c.InterlinkAPI.validate(),
		c.validatePing(),
		validateSysctls(c.AllowedUnsafeSysctls),
		validateAppArmor(c.AppArmorProfiles),
		c.RuntimeClasses.validate(),
		validateRegistries(c.Registries, c.ImageSharing),
		c.PodDefaults.validate(),
		c.validateClusterNetwork(),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// ownSysctls are those that a pod has to itself, as names or patterns.
var ownSysctls = regexp.MustCompile(`^(kernel\.(shm|msg)[_a-z0-9]*|kernel\.sem|(fs\.mqueue|net)\.[-._/a-z0-9]*)\*?$`)

// validateSysctls refuses an entry that could allow nothing, as kubelet does.
func validateSysctls(allowed []string) error {
	for _, name := range allowed {
		if !ownSysctls.MatchString(name) {
			return invalid("AllowedUnsafeSysctls", name, sysctlRule)
		}
	}
	return nil
}

// appArmorProfile is a name of a profile without a namespace, or a pattern of names.
var appArmorProfile = regexp.MustCompile(`^([A-Za-z0-9/][-A-Za-z0-9._/@+]*)?\*?$`)

// validateAppArmor refuses an entry that no profile could be called.
func validateAppArmor(allowed []string) error {
	for _, name := range allowed {
		if name == "" || name == "unconfined" || !appArmorProfile.MatchString(name) {
			return invalid("AppArmorProfiles", name, "the name of a profile without its namespace, or a pattern such as k8s-*")
		}
	}
	return nil
}

func (c Config) validateNumbers() error {
	for _, n := range []struct {
		key   string
		value int64
		min   int64
		max   int64 // 0: none
	}{
		{"AVAILABLEDINDS", int64(c.AvailableDinds), 0, 127},
		{"MostWarmSandboxes", int64(c.MostWarmSandboxes), 0, 127},
		{"SandboxBootParallel", int64(c.SandboxBootParallel), 0, 0},
		{"StandbySandboxes", int64(c.StandbySandboxes), -1, 0},
		{"NetworkHolders", int64(c.NetworkHolders), -1, 0},
		{"NetworkMTU", int64(c.NetworkMTU), 0, 65535},
		{"ImageGCHighThresholdPercent", int64(c.ImageGCHighThresholdPercent), 1, 100},
		{"ImageGCLowThresholdPercent", int64(c.ImageGCLowThresholdPercent), 0, 99},
		{"MaxPods", int64(c.MaxPods), 0, 0},
		{"MaxBodyBytes", c.MaxBodyBytes, 1, 0},
		{"MaxRequests", int64(c.Access.MaxRequests), 1, 1 << 20},
		{"MaxRequestMemory", c.Access.MaxRequestMemory, 1, 0},
		{"MaxLogFollowers", int64(c.MaxLogFollowers), 0, 1 << 20},
		{"ContainerLogMaxSize", c.ContainerLogMaxSize, 1, 0},
		{"WritebackLimit", c.WritebackLimit, 0, 0},
		{"SystemReserved.memory", c.SystemReserved.MemoryBytes, 0, 0},
		{"SystemReserved.pid", int64(c.SystemReserved.Pids), 0, maxPids},
		{"PodPidsLimit", int64(c.PodPidsLimit), 0, maxPids},
		{"ContainerLogMaxFiles", int64(c.ContainerLogMaxFiles), 1, 0},
	} {
		if n.value >= n.min && (n.max == 0 || n.value <= n.max) {
			continue
		}
		allowed := fmt.Sprintf("a whole number, %d or more", n.min)
		if n.max > 0 {
			allowed = fmt.Sprintf("a whole number from %d to %d", n.min, n.max)
		}
		return invalid(n.key, strconv.FormatInt(n.value, 10), allowed)
	}
	return nil
}

// validateDurations checks lower limits. A tombstone has to last for ten
// minutes, since a create may arrive that much later than its delete (protocol 1.4).
func (c Config) validateDurations() error {
	for _, d := range []struct {
		key        string
		value, min time.Duration
	}{
		{"SandboxBootTimeout", c.SandboxBootTimeout, time.Millisecond},
		{"ImagePullTimeout", c.ImagePullTimeout, 0},
		{"ImageMaximumGCAge", c.ImageMaximumGCAge, 0},
		{"ImageMinimumGCAge", c.ImageMinimumGCAge, 0},
		{"GPUHoldDown", c.GPU.HoldDown, time.Second},
		{"ClusterNetworkTimeout", c.ClusterNetwork.Timeout, time.Second},
		{"ShutdownTimeout", c.ShutdownTimeout, time.Millisecond},
		{"StrayGracePeriod", c.StrayGracePeriod, time.Millisecond},
		{"TombstonePeriod", c.TombstonePeriod, 10 * time.Minute},
	} {
		if d.value < d.min {
			return invalid(d.key, d.value.String(), fmt.Sprintf("a duration of %s or more", d.min))
		}
	}
	return nil
}

func (c Config) validateEngine() error {
	if p := c.SandboxAppArmorProfile; p == "" || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return invalid("SandboxAppArmorProfile", p, "auto, unconfined, or the name of a profile")
	}
	if len(validation.IsDNS1123Label(c.Instance)) > 0 {
		return invalid("Instance", c.Instance, "a DNS label: up to 63 lower case letters, digits and inner hyphens")
	}
	if _, err := reference.ParseNormalizedNamed(c.SandboxImage); c.SandboxImage != "" && err != nil {
		return invalid("SandboxImage", c.SandboxImage, "an image reference such as docker:dind")
	}
	if c.DockerHost != "" && !strings.Contains(c.DockerHost, "://") {
		return invalid("DOCKER_HOST", c.DockerHost, "an address such as unix:///var/run/docker.sock or tcp://HOST:PORT")
	}
	modes := []ImageSharing{ImageSharingAuto, ImageSharingShared, ImageSharingCopy, ImageSharingPull}
	if !slices.Contains(modes, c.ImageSharing) {
		return invalid("ImageSharing", string(c.ImageSharing), "auto, shared, copy or pull")
	}
	for _, image := range c.ImagesToKeep {
		if _, err := reference.ParseDockerRef(image); err != nil {
			return invalid("ImagesToKeep", image, "an image such as registry.example.org/tools/base:2")
		}
		if c.ImageSharing == ImageSharingPull {
			return invalid("ImagesToKeep", image, "left out with ImageSharing pull, where each sandbox has its own images")
		}
	}
	if !slices.Contains([]ImageVerification{ImageNeverVerify, ImageNeverVerifyPreloaded, ImageAlwaysVerify}, c.ImageVerification) {
		return invalid("ImagePullCredentialsVerificationPolicy", string(c.ImageVerification), "NeverVerify, NeverVerifyPreloadedImages or AlwaysVerify")
	}
	if !slices.Contains([]ImageGC{ImageGCDisabled, ImageGCDryRun, ImageGCEnabled}, c.ImageGC) {
		return invalid("ImageGC", string(c.ImageGC), "disabled, dry-run or enabled")
	}
	if c.ImageGCLowThresholdPercent >= c.ImageGCHighThresholdPercent {
		return invalid("ImageGCLowThresholdPercent", strconv.Itoa(c.ImageGCLowThresholdPercent),
			fmt.Sprintf("below ImageGCHighThresholdPercent, which is %d", c.ImageGCHighThresholdPercent))
	}
	if age := c.ImageMaximumGCAge; age > 0 && age < c.ImageMinimumGCAge {
		return invalid("ImageMaximumGCAge", age.String(), "0s, or not below ImageMinimumGCAge "+c.ImageMinimumGCAge.String())
	}
	if !slices.Contains([]PodFirewall{PodFirewallEnabled, PodFirewallRequired, PodFirewallDisabled}, c.PodFirewall) {
		return invalid("PodFirewall", string(c.PodFirewall), "enabled, required or disabled")
	}
	if _, _, err := c.HostPorts(); err != nil {
		return err
	}
	if c.NetworkMTU > 0 && c.NetworkMTU < leastMTU {
		return invalid("NetworkMTU", strconv.Itoa(c.NetworkMTU), "0, or 576 or more: each IPv4 network carries that")
	}
	for i, subnet := range c.DockerNetworkSubnet {
		if !subnet.IsValid() || !subnet.Addr().Is4() || subnet.Bits() < 8 || subnet.Bits() > 28 {
			return invalid("DockerNetworkSubnet", subnet.String(), subnetRule)
		}
		if j := slices.IndexFunc(c.DockerNetworkSubnet[:i], subnet.Overlaps); j >= 0 {
			return overlap(subnet, c.DockerNetworkSubnet[j])
		}
	}
	return nil
}

// leastMTU is what every network carries (RFC 791).
const leastMTU = 576

func overlap(subnet, other netip.Prefix) error {
	return invalid("DockerNetworkSubnet", subnet.String(), "free of overlaps, but overlaps "+other.String())
}

// validateGPU checks what can be told without knowing the GPUs.
func (c Config) validateGPU() error {
	strategies := []GPUStrategy{GPUStrategyAuto, GPUStrategyDevices, GPUStrategyCDI, GPUStrategyRuntime}
	if !slices.Contains(strategies, c.GPU.Strategy) {
		return invalid("GPUStrategy", string(c.GPU.Strategy), "auto, devices, cdi or nvidia-runtime")
	}
	s := c.GPU.Sharing
	if !slices.Contains([]GPUSharingStrategy{GPUSharingNone, GPUSharingTimeSlicing, GPUSharingMPS}, s.Strategy) {
		return invalid("GPUSharing.strategy", string(s.Strategy), "none, time-slicing or mps")
	}
	for i, r := range s.Resources {
		name := fmt.Sprintf("GPUSharing.resources[%d]", i)
		if !strings.Contains(r.Name, "/") || len(validation.IsQualifiedName(r.Name)) > 0 {
			return invalid(name+".name", r.Name, "a resource name such as nvidia.com/gpu")
		}
		if r.Rename != "" && (!strings.Contains(r.Rename, "/") || len(validation.IsQualifiedName(r.Rename)) > 0) {
			return invalid(name+".rename", r.Rename, "a resource name such as nvidia.com/gpu.shared")
		}
		if r.Replicas < 2 {
			return invalid(name+".replicas", strconv.Itoa(r.Replicas), "a whole number, 2 or more")
		}
		if s.Strategy == GPUSharingMPS && r.Name != "nvidia.com/gpu" {
			return invalid(name+".name", r.Name, "nvidia.com/gpu, the only resource that MPS shares")
		}
	}
	if within(s.MPSShmDirectory, "/dev/shm") {
		return invalid("GPUSharing.mpsShmDirectory", s.MPSShmDirectory, "the control daemon's own, not the host's /dev/shm: every sandbox mounts it")
	}
	if (s.Strategy == GPUSharingNone) != (len(s.Resources) == 0) {
		return invalid("GPUSharing.strategy", string(s.Strategy), "time-slicing or mps with resources, and none without")
	}
	return nil
}

func (c Config) validatePaths() error {
	type entry struct{ key, path string }
	entries := []entry{
		{"DataRootFolder", c.DataRootFolder},
		{"XilinxToolsPath", c.FPGA.ToolsPath},
		{"VitisPath", c.FPGA.VitisPath},
		{"XRTPath", c.FPGA.XRTPath},
		{"GPUSharing.mpsPipeDirectory", c.GPU.Sharing.MPSPipeDirectory},
		{"GPUSharing.mpsShmDirectory", c.GPU.Sharing.MPSShmDirectory},
	}
	if c.GPU.LibraryPath != "" {
		entries = append(entries, entry{"GPULibraryPath", c.GPU.LibraryPath})
	}
	if c.AccountingFile != "" {
		entries = append(entries, entry{"AccountingFile", c.AccountingFile})
	}
	if c.SeccompProfileRoot != "" {
		entries = append(entries, entry{"SeccompProfileRoot", c.SeccompProfileRoot})
	}
	if c.PodDefaults.CACertificates != "" {
		entries = append(entries, entry{"PodDefaults.caCertificates", c.PodDefaults.CACertificates})
	}
	for i, one := range c.Registries {
		if one.CAFile != "" {
			entries = append(entries, entry{fmt.Sprintf("Registries[%d].caFile", i), one.CAFile})
		}
	}
	for _, path := range c.GPU.CDISpecDirs {
		entries = append(entries, entry{"CDISpecDirs", path})
	}
	for _, path := range c.HostPathPrefixes {
		entries = append(entries, entry{"HostPathPrefixes", path})
	}
	if c.Storage.Root != "" {
		entries = append(entries, entry{"PersistentVolumeRoot", c.Storage.Root})
	}
	for _, claim := range slices.Sorted(maps.Keys(c.PersistentVolumeClaims)) {
		if !validClaim(claim) {
			return invalid("PersistentVolumeClaims", claim, claimRule)
		}
		entries = append(entries, entry{"PersistentVolumeClaims." + claim, c.PersistentVolumeClaims[claim]})
	}
	for _, e := range entries {
		// The root is refused: what is under DataRootFolder is removed with its
		// pod, and nothing can be mounted over a sandbox's own root.
		if !filepath.IsAbs(e.path) || e.path != filepath.Clean(e.path) || e.path == "/" || strings.ContainsRune(e.path, 0) {
			return invalid(e.key, e.path, pathRule)
		}
	}
	return nil
}

func validClaim(name string) bool {
	claim := name
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return false
		}
		claim = rest
	}
	return len(validation.IsDNS1123Subdomain(claim)) == 0
}

// validateTelemetry enforces that a CA means mutual TLS (protocol 7.3).
// validateSeparation keeps host paths that every sandbox mounts apart from the
// data folder, which holds secrets and the sockets of all sandboxes.
func (c Config) validateSeparation() error {
	check := func(key, path string) error {
		if within(path, c.DataRootFolder) || within(c.DataRootFolder, path) {
			return invalid(key, path, "apart from DataRootFolder "+c.DataRootFolder+": every sandbox mounts it")
		}
		return nil
	}
	for _, path := range c.HostPathPrefixes {
		if err := check("HostPathPrefixes", path); err != nil {
			return err
		}
	}
	for _, path := range c.PersistentVolumeClaims {
		if err := check("PersistentVolumeClaims", path); err != nil {
			return err
		}
	}
	if c.Storage.Root != "" {
		return check("PersistentVolumeRoot", c.Storage.Root)
	}
	return nil
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

func (c Config) validateTelemetry() error {
	t := c.Telemetry
	if t.CACertFile == "" {
		return nil
	}
	const allowed = "set, because TELEMETRY_CA_CRT_FILEPATH is set and means mutual TLS"
	if t.ClientCertFile == "" {
		return invalid("TELEMETRY_CLIENT_CRT_FILEPATH", "", allowed)
	}
	if t.ClientKeyFile == "" {
		return &valueError{key: "TELEMETRY_CLIENT_KEY_FILEPATH", value: `""`, allowed: allowed}
	}
	return nil
}

func (c Config) validatePing() error {
	for _, q := range []struct{ key, value string }{
		{"Capacity.cpu", c.Capacity.CPU}, {"Capacity.memory", c.Capacity.Memory},
	} {
		if q.value == "" {
			continue
		}
		if _, ok := parseCapacity(q.value); !ok {
			return invalid(q.key, q.value, capacityRule)
		}
	}
	for i, taint := range c.PingTaints {
		name := fmt.Sprintf("PingTaints[%d]", i)
		if len(validation.IsQualifiedName(taint.Key)) > 0 {
			return invalid(name+".key", taint.Key, "a Kubernetes label key such as example.org/name")
		}
		if len(validation.IsValidLabelValue(taint.Value)) > 0 {
			return invalid(name+".value", taint.Value, "a Kubernetes label value")
		}
		if !slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, taint.Effect) {
			return invalid(name+".effect", taint.Effect, "NoSchedule, PreferNoSchedule or NoExecute")
		}
	}
	return nil
}
