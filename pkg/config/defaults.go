package config

import "time"

// DefaultAdminAddress is where operators find metrics and the status page unless
// AdminAddress says otherwise.
const DefaultAdminAddress = "127.0.0.1:4001"

// Default returns the configuration of an empty file and an empty environment.
func Default() Config {
	return Config{
		// The 2024 plugin listened on port 80 of all interfaces when the port was
		// empty (protocol 7.2). 4000 is what every published example uses.
		SidecarPort:    4000,
		AdminAddress:   DefaultAdminAddress,
		LogFormat:      LogFormatText,
		DataRootFolder: absolute(".local/interlink/jobs/"),
		AvailableDinds: 2,
		GPU: GPU{
			Strategy:    GPUStrategyAuto,
			Sharing:     GPUSharing{Strategy: GPUSharingNone, MPSPipeDirectory: "/run/nvidia/mps/pipe", MPSShmDirectory: "/run/nvidia/mps/shm"},
			HoldDown:    5 * time.Minute,
			CDISpecDirs: []string{"/etc/cdi", "/var/run/cdi"},
		},
		FPGA: FPGA{
			ToolsPath: "/tools/Xilinx",
			VitisPath: "/tools/Xilinx/Vitis/2023.2",
			XRTPath:   "/opt/xilinx/xrt",
		},
		Telemetry:              Telemetry{Endpoint: "localhost:4317"},
		Instance:               "docker-sd",
		SandboxAppArmorProfile: AppArmorAuto,
		SandboxBootTimeout:     time.Minute,
		ClusterNetwork:         ClusterNetwork{Mode: clusterNetworkAuto, Servers: []string{}, Timeout: time.Minute},
		PodFirewall:            PodFirewallEnabled,
		PodsMayReachHost:       []string{},
		AllowedUnsafeSysctls:   []string{},
		AppArmorProfiles:       []string{},
		ImageSharing:           ImageSharingAuto,
		ImagesToKeep:           []string{},
		Registries:             []Registry{},
		ImageVerification:      ImageNeverVerifyPreloaded,
		ImageGC:                ImageGCDisabled, ImageMinimumGCAge: 2 * time.Minute, ImageGCHighThresholdPercent: 85, ImageGCLowThresholdPercent: 80,
		HostPathPrefixes:     []string{"/cvmfs"},
		Storage:              Storage{Reclaim: ReclaimRetain, NFSServers: []string{}},
		AllowPrivilegedPods:  true,
		FuseMounts:           true,
		PodDefaults:          PodDefaults{Limits: Amounts{}, Requests: Amounts{}, Ulimits: Amounts{"nofile": "1048576"}},
		MaxPods:              110,
		EvictionHard:         map[string]string{SignalNodeAvailable: "10%", SignalNodeInodes: "5%", SignalImageAvailable: "15%"},
		StandbySandboxes:     -1,
		NetworkHolders:       -1,
		Access:               Access{AllowedHosts: []string{}, MaxRequests: 1024, MaxRequestMemory: 256 << 20},
		MaxBodyBytes:         64 << 20,
		MaxLogFollowers:      256,
		ContainerLogMaxSize:  100 << 20,
		WritebackLimit:       64 << 20,
		ContainerLogMaxFiles: 5,
		ShutdownTimeout:      20 * time.Second,
		StrayGracePeriod:     5 * time.Minute,
		TombstonePeriod:      time.Hour,
	}
}
