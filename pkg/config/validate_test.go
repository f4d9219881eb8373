package config_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// TestLoad_BadValues checks that each error is one line with everything in it
// that an administrator needs, and nothing that may be secret.
func TestLoad_BadValues(t *testing.T) {
	for _, tt := range []struct {
		name string
		file string
		env  map[string]string
		want []string
	}{
		{"port is no number", "SidecarPort: http", nil, []string{`SidecarPort: "http"`, "whole number"}},
		{"port too large", "SidecarPort: 65536", nil, []string{`SidecarPort: "65536"`, "65535"}},
		{"port variable", "", map[string]string{"SIDECARPORT": ":4000"}, []string{`environment variable SIDECARPORT: ":4000"`}},
		{"port is a list", "SidecarPort: [4000]", nil, []string{"SidecarPort: this list", "single value"}},
		{"socket for everybody", "SocketMode: '0666'", nil, []string{`SocketMode: "0666"`, "0600 or 0660"}},
		{"socket's mode as a number", "SocketMode: 0660", nil, []string{`SocketMode`, "in quotes"}},
		{"group that cannot connect", "{SocketMode: '0600', SocketGroup: interlink}", nil, []string{`SocketMode: "0600"`, "0660 with SocketGroup"}},
		{"admin address without a host", "AdminAddress: ':4001'", nil, []string{`AdminAddress: ":4001"`, "HOST:PORT"}},
		{"admin port", "AdminAddress: 127.0.0.1:http", nil, []string{`AdminAddress: "127.0.0.1:http"`, "or off"}},
		{"interLink's API without a host", "InterlinkAPI: {Address: ':3000'}", nil, []string{`InterlinkAPI.Address: ":3000"`, "HOST:PORT such as 0.0.0.0:3000"}},
		{"interLink's API without a port", "InterlinkAPI: {Address: 127.0.0.1}", nil, []string{`InterlinkAPI.Address: "127.0.0.1"`, "unix://PATH"}},
		{"interLink's API by a URL", "InterlinkAPI: {Address: 'https://0.0.0.0:3000'}", nil, []string{`"https://0.0.0.0:3000"`, "HOST:PORT"}},
		{"interLink's API on an abstract socket", "InterlinkAPI: {Address: 'unix://@x'}", nil, []string{"InterlinkAPI.Address", "unix://PATH"}},
		{"interLink's API by its files alone", "InterlinkAPI: {BearerTokenFile: /t}", nil, []string{`InterlinkAPI.Address: ""`, "together with the other keys"}},
		{"interLink's API with half a pair", "InterlinkAPI: {Address: '127.0.0.1:3000', TLSCertFile: /c}", nil, []string{"InterlinkAPI.TLSCertFile", "InterlinkAPI.TLSKeyFile"}},
		{"interLink's API with a CA alone", "InterlinkAPI: {Address: '127.0.0.1:3000', TLSClientCAFile: /ca}", nil, []string{"InterlinkAPI.TLSClientCAFile"}},
		{"interLink's API for all", "InterlinkAPI: {Address: '0.0.0.0:3000'}", nil, []string{`InterlinkAPI.Address: "0.0.0.0:3000"`, "TLSClientCAFile and BearerTokenFile", "can run pods"}},
		{"interLink's API under a name", "InterlinkAPI: {Address: 'localhost.example.org:3000'}", nil, []string{"InterlinkAPI.Address", "can run pods"}},
		{"interLink's API for all with a token in the clear", "InterlinkAPI: {Address: '[::]:3000', BearerTokenFile: /t}", nil, []string{"InterlinkAPI.Address", "TLSCertFile"}},
		{"interLink's API for all with a certificate of its own alone", "InterlinkAPI: {Address: '192.0.2.1:3000', TLSCertFile: /c, TLSKeyFile: /k}", nil, []string{"InterlinkAPI.Address", "one of TLSClientCAFile and BearerTokenFile"}},
		{"accounting file", "AccountingFile: accounts.jsonl", nil, []string{`AccountingFile: "accounts.jsonl"`, "absolute"}},
		{"log format", "LogFormat: xml", nil, []string{`LogFormat: "xml"`, "text or json"}},
		{"allowed host with a port", "AllowedHosts: ['node:4000']", nil, []string{`AllowedHosts: "node:4000"`, "without a port"}},
		{"allowed host for all", "AllowedHosts: ['*']", nil, []string{`AllowedHosts: "*"`}},
		{"https", "SidecarURL: https://localhost", nil, []string{`SidecarURL: "https://localhost"`, "http://HOST", "https://HOST needs TLSCertFile"}},
		{"pool too large", "", map[string]string{"AVAILABLEDINDS": "128"}, []string{`AVAILABLEDINDS: "128"`, "from 0 to 127"}},
		{"pool too large after bursts", "MostWarmSandboxes: 128", nil, []string{`MostWarmSandboxes: "128"`, "from 0 to 127"}},
		{"pool below zero", "AVAILABLEDINDS: -1", nil, []string{`AVAILABLEDINDS: "-1"`, "from 0 to 127"}},
		{"pool is no number", "", map[string]string{"AVAILABLEDINDS": "many"}, []string{`AVAILABLEDINDS: "many"`}},
		{"pool is a fraction", "AVAILABLEDINDS: 2.5", nil, []string{`AVAILABLEDINDS: "2.5"`}},
		{"tsocks variable", "", map[string]string{"TSOCKS": "1"}, []string{`TSOCKS: "1"`, "true or false"}},
		{"tsocks key", "Tsocks: perhaps", nil, []string{`Tsocks: "perhaps"`, "true or false"}},
		{"verbose", "VerboseLogging: loud", nil, []string{`VerboseLogging: "loud"`, "true or false"}},
		{"cluster network", "ClusterNetwork: maybe", nil, []string{`ClusterNetwork: "maybe"`, "auto or off"}},
		{"servers of clusters", "ClusterNetworkServers: ['ws://h:80']", nil, []string{`ClusterNetworkServers: "ws://h:80"`, "*.tunnels.example.org"}},
		{"servers by a bad CIDR", "ClusterNetworkServers: [10.0.0.0/33]", nil, []string{`ClusterNetworkServers: "10.0.0.0/33"`, "CIDR"}},
		{"no time to join", "ClusterNetworkTimeout: 0s", nil, []string{`ClusterNetworkTimeout: "0s"`, "1s or more"}},
		{"instance", "Instance: My_Host", nil, []string{`Instance: "My_Host"`, "DNS label"}},
		{"instance is a number", "Instance: 7", nil, []string{`Instance: "7"`, "in quotes"}},
		{"image", "SandboxImage: 'docker dind'", nil, []string{`SandboxImage: "docker dind"`}},
		{"engine", "DOCKER_HOST: /var/run/docker.sock", nil, []string{`DOCKER_HOST: "/var/run/docker.sock"`, "unix:///"}},
		{"image collection", "ImageGC: sometimes", nil, []string{`ImageGC: "sometimes"`, "disabled, dry-run or enabled"}},
		{"thresholds the wrong way round", "ImageGCHighThresholdPercent: 70", nil, []string{`ImageGCLowThresholdPercent: "80"`, "below ImageGCHighThresholdPercent, which is 70"}},
		{"ages the wrong way round", "ImageMaximumGCAge: 1m", nil, []string{`ImageMaximumGCAge: "1m0s"`, "ImageMinimumGCAge 2m0s"}},
		{"image sharing", "ImageSharing: lend", nil, []string{`ImageSharing: "lend"`, "auto, shared, copy or pull"}},
		{"root as data folder", "DataRootFolder: /", nil, []string{`DataRootFolder: "/"`}},
		{"relative prefix", "HostPathPrefixes: [srv]", nil, []string{`HostPathPrefixes: "srv"`, "absolute path"}},
		{"empty prefix", "HostPathPrefixes: ['']", nil, []string{`HostPathPrefixes: ""`}},
		{"root prefix", "HostPathPrefixes: [/a/..]", nil, []string{`HostPathPrefixes: "/"`}},
		{"prefixes are no list", "HostPathPrefixes: /cvmfs", nil, []string{`HostPathPrefixes: "/cvmfs"`, "list"}},
		{"sysctl of the machine", "AllowedUnsafeSysctls: [net.core.somaxconn, kernel.panic]", nil, []string{`AllowedUnsafeSysctls: "kernel.panic"`, "net.*"}},
		{"AppArmor profile of a namespace", "AppArmorProfiles: [k8s-*, ':docker-sd:k8s-a']", nil, []string{`AppArmorProfiles: ":docker-sd:k8s-a"`, "without its namespace"}},
		{"no AppArmor profile", "AppArmorProfiles: [unconfined]", nil, []string{`AppArmorProfiles: "unconfined"`}},
		{"all sysctls", "AllowedUnsafeSysctls: ['*']", nil, []string{`AllowedUnsafeSysctls: "*"`}},
		{"classes as a list", "RuntimeClasses: [crun]", nil, []string{"RuntimeClasses: this list", "mapping of names to classes"}},
		{"class as a text", "RuntimeClasses: {crun: crun}", nil, []string{`RuntimeClasses.crun: "crun"`, "mapping of keys to values"}},
		{"name of a class", "RuntimeClasses: {\"a\\nb\": {}}", nil, []string{`RuntimeClasses: "a\nb"`, "RuntimeClass object"}},
		{"runtime by its path", "RuntimeClasses: {crun: {runtime: /usr/bin/crun}}", nil, []string{`RuntimeClasses.crun.runtime: "/usr/bin/crun"`, "path"}},
		{"runtime that climbs", "RuntimeClasses: {crun: {runtime: ../crun}}", nil, []string{`RuntimeClasses.crun.runtime: "../crun"`}},
		{"runtime as an option", "RuntimeClasses: {crun: {runtime: --x}}", nil, []string{`RuntimeClasses.crun.runtime: "--x"`}},
		{"runtime with a value", "RuntimeClasses: {crun: {runtime: a=b, path: /x}}", nil, []string{`RuntimeClasses.crun.runtime: "a=b"`}},
		{"program without a runtime", "RuntimeClasses: {crun: {path: /usr/bin/crun}}", nil, []string{`RuntimeClasses.crun.path: "/usr/bin/crun"`, "together with runtime"}},
		{"program by its name", "RuntimeClasses: {crun: {runtime: crun, path: crun}}", nil, []string{`RuntimeClasses.crun.path: "crun"`, "absolute path"}},
		{"kept image", "ImagesToKeep: ['a b']", nil, []string{`ImagesToKeep: "a b"`}},
		{"kept image that no pod would use", "ImagesToKeep: [a]\nImageSharing: pull", nil, []string{`ImagesToKeep: "a"`, "its own images"}},
		{"registry by another name", "Registries: [{name: index.docker.io}]", nil, []string{`Registries[0].name: "index.docker.io"`, "docker.io"}},
		{"registry as a URL", "Registries: [{name: 'https://r.example'}]", nil, []string{`Registries[0].name: "https://r.example"`}},
		{"registry with a path", "Registries: [{name: r.example/team}]", nil, []string{`Registries[0].name: "r.example/team"`}},
		{"registry that a user of Docker Hub would be", "Registries: [{name: mirror}]", nil, []string{`Registries[0].name: "mirror"`}},
		{"registry without a name", "Registries: [{insecure: true}]", nil, []string{`Registries[0].name: ""`}},
		{"registry twice", "Registries: [{name: r.example}, {name: r.example}]", nil, []string{`Registries[1].name: "r.example"`, "one entry"}},
		{"mirror that a user of Docker Hub would be", "Registries: [{name: docker.io, mirrors: [mirror/hub]}]", nil, []string{`Registries[0].mirrors: "mirror/hub"`, "https://"}},
		{"mirror with a password", "Registries: [{name: docker.io, mirrors: ['https://a:b@m.example']}]", nil, []string{`Registries[0].mirrors`}},
		{"mirror of another kind", "Registries: [{name: docker.io, mirrors: ['ftp://m.example']}]", nil, []string{`Registries[0].mirrors: "ftp://m.example"`}},
		{"mirror with capitals in its path", "Registries: [{name: docker.io, mirrors: [m.example/Hub]}]", nil, []string{`Registries[0].mirrors: "m.example/Hub"`}},
		{"insecure for the host's engine", "Registries: [{name: r.example, insecure: true}]", nil, []string{`Registries[0].insecure: "true"`, "insecure-registries in its daemon.json"}},
		{"authority for the host's engine", "Registries: [{name: r.example, caFile: /etc/ca.pem}]", nil, []string{`Registries[0].caFile: "/etc/ca.pem"`, "/etc/docker/certs.d/r.example/ca.crt"}},
		{"relative file of authorities", "ImageSharing: pull\nRegistries: [{name: r.example, caFile: ca.pem}]", nil, []string{`Registries[0].caFile: "ca.pem"`, "absolute path"}},
		{"time zone that climbs", "PodDefaults: {timeZone: ../../etc/shadow}", nil, []string{`PodDefaults.timeZone: "../../etc/shadow"`, "Europe/Berlin"}},
		{"time zone as a rule", "PodDefaults: {timeZone: 'CET-1CEST,M3.5.0'}", nil, []string{`PodDefaults.timeZone: "CET-1CEST,M3.5.0"`}},
		{"relative certificates", "PodDefaults: {caCertificates: ca.pem}", nil, []string{`PodDefaults.caCertificates: "ca.pem"`, "absolute path"}},
		{"default of a device", "PodDefaults: {limits: {nvidia.com/gpu: 1}}", nil, []string{`PodDefaults.limits: "nvidia.com/gpu"`, "cpu, memory or"}},
		{"default that is no amount", "PodDefaults: {limits: {cpu: much}}", nil, []string{`PodDefaults.limits.cpu: "much"`, "quantity"}},
		{"default request above the limit", "PodDefaults: {limits: {cpu: 1}, requests: {cpu: 2}}", nil, []string{`PodDefaults.requests.cpu: "2"`, "limit, 1"}},
		{"default memory of a few bytes", "PodDefaults: {limits: {memory: 64}}", nil, []string{`PodDefaults.limits.memory: "64"`, "6Mi"}},
		{"default limits as a list", "PodDefaults: {limits: [cpu]}", nil, []string{"PodDefaults.limits: this list", "names to amounts"}},
		{"unknown ulimit", "PodDefaults: {ulimits: {files: 7}}", nil, []string{`PodDefaults.ulimits: "files: 7"`}},
		{"soft ulimit above the hard one", "PodDefaults: {ulimits: {nofile: '7:5'}}", nil, []string{`PodDefaults.ulimits: "nofile: 7:5"`}},
		{"proxy without a scheme", "PodDefaults: {httpProxy: 'proxy:3128'}", nil, []string{`PodDefaults.httpProxy: "proxy:3128"`, "URL"}},
		{"proxy with a password", "PodDefaults: {httpsProxy: 'u:secret@proxy'}", nil, []string{"PodDefaults.httpsProxy: the value (not shown)"}},
		{"program in place of runc", "RuntimeClasses: {c: {runtime: runc, path: /x}}", nil, []string{`RuntimeClasses.c.runtime: "runc"`, "another name"}},
		{"program in place of a shim", "RuntimeClasses: {c: {runtime: io.containerd.runc.v2, path: /x}}", nil, []string{`RuntimeClasses.c.runtime: "io.containerd.runc.v2"`, "another name"}},
		{"image of sandboxes of a class", "RuntimeClasses: {a: {sandboxImage: 'docker dind'}}", nil, []string{`RuntimeClasses.a.sandboxImage: "docker dind"`, "image reference"}},
		{"two programs of a name", "RuntimeClasses: {a: {runtime: crun, path: /a}, b: {runtime: crun, path: /b}}", nil, []string{`RuntimeClasses.b.path: "/b"`, "/a, as in another class"}},
		{"claim name", "PersistentVolumeClaims: {a/b/c: /srv}", nil, []string{`"a/b/c"`, "NAMESPACE/CLAIM"}},
		{"claim namespace", "PersistentVolumeClaims: {A/b: /srv}", nil, []string{`"A/b"`, "NAMESPACE/CLAIM"}},
		{"claim path", "PersistentVolumeClaims: {a/b: srv}", nil, []string{`PersistentVolumeClaims.a/b: "srv"`, "absolute path"}},
		{"root of claims", "PersistentVolumeRoot: srv", nil, []string{`PersistentVolumeRoot: "srv"`, "absolute path"}},
		{"root of claims that pods see", "HostPathPrefixes: [/srv]\nPersistentVolumeRoot: /srv/claims", nil, []string{"PersistentVolumeRoot", "apart from HostPathPrefixes", "/srv"}},
		{"root of claims above what pods see", "HostPathPrefixes: [/srv/claims/a]\nPersistentVolumeRoot: /srv/claims", nil, []string{"PersistentVolumeRoot", "/srv/claims/a"}},
		{"root of claims and cvmfs", "PersistentVolumeRoot: /srv/claims\nPersistentVolumeClaimsToCVMFS: true", nil, []string{"PersistentVolumeRoot", "PersistentVolumeClaimsToCVMFS"}},
		{"NFS server", "NFSServers: ['nfs.example.org:/data']", nil, []string{"NFSServers", "nfs.example.org:/data", "192.0.2.0/24"}},
		{"range of NFS servers", "NFSServers: [192.0.2.0/33]", nil, []string{"NFSServers", "192.0.2.0/33"}},
		{"reclaim", "PersistentVolumeReclaim: recycle", nil, []string{`"recycle"`, "retain or delete"}},
		{"claims are no mapping", "PersistentVolumeClaims: [a]", nil, []string{"PersistentVolumeClaims: this list", "mapping"}},
		{"GPU strategy", "GPUStrategy: magic", nil, []string{`GPUStrategy: "magic"`, "nvidia-runtime"}},
		{"sharing strategy", "GPUSharing: {strategy: fair}", nil, []string{`GPUSharing.strategy: "fair"`, "time-slicing"}},
		{"sharing without resources", "GPUSharing: {strategy: mps}", nil, []string{`GPUSharing.strategy: "mps"`, "resources"}},
		{"resources without sharing", "GPUSharing: {resources: [{name: nvidia.com/gpu, replicas: 2}]}", nil, []string{`GPUSharing.strategy: "none"`}},
		{"one replica", "GPUSharing: {strategy: mps, resources: [{name: nvidia.com/gpu, replicas: 1}]}", nil, []string{`GPUSharing.resources[0].replicas: "1"`, "2 or more"}},
		{"shared name", "GPUSharing: {strategy: mps, resources: [{name: gpu, replicas: 2}]}", nil, []string{`GPUSharing.resources[0].name: "gpu"`}},
		{"shared new name", "GPUSharing: {strategy: mps, resources: [{name: nvidia.com/gpu, rename: gpu, replicas: 2}]}", nil, []string{`GPUSharing.resources[0].rename: "gpu"`}},
		{"MPS of instances", "GPUSharing: {strategy: mps, resources: [{name: nvidia.com/mig-1g.5gb, replicas: 2}]}", nil, []string{"nvidia.com/mig-1g.5gb", "MPS"}},
		{"resources are no list", "GPUSharing: {resources: 4}", nil, []string{`GPUSharing.resources: "4"`, "list"}},
		{"MPS folder", "GPUSharing: {mpsPipeDirectory: pipe}", nil, []string{`GPUSharing.mpsPipeDirectory: "pipe"`, "absolute path"}},
		{"MPS in the host's memory", "GPUSharing: {mpsShmDirectory: /dev/shm}", nil, []string{`GPUSharing.mpsShmDirectory: "/dev/shm"`, "not the host's"}},
		{"XIDs", "GPUIgnoredXIDs: [79, fatal]", nil, []string{"GPUIgnoredXIDs: this list", "whole numbers"}},
		{"XID below zero", "GPUCriticalXIDs: [-1]", nil, []string{"GPUCriticalXIDs: this list", "whole numbers"}},
		{"a key by both of its names", "GPUHeededXIDs: [13]\nGPUCriticalXIDs: [31]", nil, []string{"GPUCriticalXIDs and GPUHeededXIDs are the same key"}},
		{"admin address true", "AdminAddress: on", nil, []string{`AdminAddress: "true"`, "or off"}},
		{"admin address a number", "AdminAddress: 4001", nil, []string{`AdminAddress: "4001"`, "or off"}},
		{"hold-down", "GPUHoldDown: 10ms", nil, []string{`GPUHoldDown: "10ms"`, "1s or more"}},
		{"NVML by name", "GPULibraryPath: libnvidia-ml.so.1", nil, []string{`GPULibraryPath: "libnvidia-ml.so.1"`, "absolute path"}},
		{"CDI folder", "CDISpecDirs: [cdi]", nil, []string{`CDISpecDirs: "cdi"`, "absolute path"}},
		{"FPGA path", "VitisPath: Vitis", nil, []string{`VitisPath: "Vitis"`}},
		{"duration without unit", "SandboxBootTimeout: 60", nil, []string{`SandboxBootTimeout: "60"`, "90s"}},
		{"duration zero", "ShutdownTimeout: 0s", nil, []string{`ShutdownTimeout: "0s"`}},
		{"duration below zero", "ImagePullTimeout: -1s", nil, []string{`ImagePullTimeout: "-1s"`, "0s or more"}},
		{"tombstones too short", "TombstonePeriod: 9m", nil, []string{`TombstonePeriod: "9m0s"`, "10m0s or more"}},
		{"log size", "ContainerLogMaxSize: big", nil, []string{`ContainerLogMaxSize: "big"`, "100Mi"}},
		{"log size zero", "ContainerLogMaxSize: 0", nil, []string{`ContainerLogMaxSize: "0"`, "1 or more"}},
		{"log files", "ContainerLogMaxFiles: 0", nil, []string{`ContainerLogMaxFiles: "0"`}},
		{"body size", "MaxBodyBytes: -1", nil, []string{`MaxBodyBytes: "-1"`}},
		{"followers", "MaxLogFollowers: -1", nil, []string{`MaxLogFollowers: "-1"`}},
		{"pods", "MaxPods: -1", nil, []string{`MaxPods: "-1"`, "0 or more"}},
		{"boot parallel", "SandboxBootParallel: -1", nil, []string{`SandboxBootParallel: "-1"`}},
		{"capacity", "Capacity: {cpu: lots}", nil, []string{`Capacity.cpu: "lots"`, "quantity"}},
		{"capacity zero", "Capacity: {memory: 0}", nil, []string{`Capacity.memory: "0"`, "above zero"}},
		{"capacity exponent", "Capacity: {memory: '1e-999999999'}", nil, []string{"Capacity.memory", "quantity"}},
		{"capacity is no mapping", "Capacity: 4", nil, []string{`Capacity: "4"`, "mapping"}},
		{"taint without key", "PingTaints: [{effect: NoExecute}]", nil, []string{`PingTaints[0].key: ""`}},
		{"taint value", "PingTaints: [{key: a, value: 'b c'}]", nil, []string{`PingTaints[0].value: "b c"`}},
		{"taint effect", "PingTaints: [{key: a}, {key: b, effect: Never}]", nil, []string{`PingTaints[1].effect: "Never"`, "NoExecute"}},
		{"taints are no list", "PingTaints: {key: a}", nil, []string{"PingTaints: a mapping", "list"}},
		{"MTU", "NetworkMTU: 500", nil, []string{`NetworkMTU: "500"`, "576"}},
		{"subnet", "DockerNetworkSubnet: [10.0.0.0]", nil, []string{`DockerNetworkSubnet: "10.0.0.0"`, "/8 to /28"}},
		{"subnet of IPv6", "DockerNetworkSubnet: ['fd00::/16']", nil, []string{`"fd00::/16"`, "IPv4"}},
		{"subnet too large", "DockerNetworkSubnet: [10.0.0.0/7]", nil, []string{"/8 to /28"}},
		{"subnet too small", "DockerNetworkSubnet: [10.0.0.0/29]", nil, []string{"/8 to /28"}},
		{"subnets overlap", "DockerNetworkSubnet: [10.0.0.0/8, 10.1.0.0/16]", nil, []string{`"10.1.0.0/16"`, "overlaps 10.0.0.0/8"}},
		{"subnets are no list", "DockerNetworkSubnet: 10.0.0.0/8", nil, []string{`"10.0.0.0/8"`, "list"}},
		{"eviction signal", "EvictionHard: {memory.available: 100Mi}", nil, []string{"EvictionHard", "memory.available", "nodefs.available"}},
		{"eviction threshold", "EvictionHard: {nodefs.available: half}", nil, []string{"EvictionHard.nodefs.available", "half", "such as 10%"}},
		{"eviction above the disk", "EvictionHard: {nodefs.available: 110%}", nil, []string{"EvictionHard.nodefs.available", "110%"}},
		{"reserve below zero", "SystemReserved: {pid: -1}", nil, []string{"SystemReserved.pid", "0 to 4194304"}},
		{"reserve is no amount", "SystemReserved: {memory: much}", nil, []string{"SystemReserved.memory", "much"}},
		{"pids above the kernel's", "PodPidsLimit: 5000000", nil, []string{"PodPidsLimit", "0 to 4194304"}},
		{"CA without certificate", "", map[string]string{"TELEMETRY_CA_CRT_FILEPATH": "/ca"}, []string{"TELEMETRY_CLIENT_CRT_FILEPATH", "TELEMETRY_CA_CRT_FILEPATH"}},
		{"CA without key", "", map[string]string{"TELEMETRY_CA_CRT_FILEPATH": "/ca", "TELEMETRY_CLIENT_CRT_FILEPATH": "/c"}, []string{"TELEMETRY_CLIENT_KEY_FILEPATH"}},
		{"skip verify", "", map[string]string{"TELEMETRY_INSECURE_SKIP_VERIFY": "yes"}, []string{"true or false"}},
		{"key twice", "MaxPods: 1\nMaxPods: 2", nil, []string{"line 2", "MaxPods"}},
		{"key twice in two cases", "MaxPods: 1\nmaxpods: 2", nil, []string{"MaxPods and maxpods are the same key"}},
		{"no mapping", "- SidecarPort", nil, []string{"KEY: VALUE"}},
		{"broken YAML", "SidecarPort: [1", nil, []string{"broken YAML"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := config.Load(writeFile(t, tt.file), env(tt.env))
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

func TestLoad_ErrorsHideSecrets(t *testing.T) {
	const secret = "hunter2"
	for name, file := range map[string]string{
		"anchor":                  "VKToken: *hunter2",
		"tag":                     "VKToken: !!int hunter2",
		"mapping as key":          "? {VKToken: hunter2}\n: x",
		"null key":                "~: hunter2",
		"nesting on one line":     "VKToken: hunter2: x",
		"key twice":               "VKToken: hunter2\nVKToken: hunter2",
		"key file":                "TELEMETRY_CLIENT_KEY_FILEPATH: [hunter2]",
		"user part of the URL":    "SidecarURL: http://user:hunter2@localhost",
		"user part of the engine": "DOCKER_HOST: user:hunter2@localhost",
		"mapping for a value":     "SidecarPort: {Password: hunter2}",
		"claim path":              "PersistentVolumeClaims: {secret-claim: hunter2}",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := config.Load(writeFile(t, file), noEnv)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("shows the secret: %q", err)
			}
		})
	}
}

func TestConfig_ValidateCapacity(t *testing.T) {
	cfg := config.Default()
	cfg.Capacity.CPU = "lots"
	if err := cfg.Validate(); !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), "Capacity.cpu: ") {
		t.Errorf("got %v", err)
	}
}

func TestHostPorts(t *testing.T) {
	c := config.Config{PodsMayReachHost: []string{"3128", "1/tcp", "514/udp", "192.0.2.1:80", "[2001:db8::1]:53/udp", "all"}}
	got, all, err := c.HostPorts()
	want := []config.HostPort{{Port: 3128}, {Port: 1}, {Port: 514, UDP: true}, {Address: netip.MustParseAddr("192.0.2.1"), Port: 80},
		{Address: netip.MustParseAddr("2001:db8::1"), Port: 53, UDP: true}}
	if err != nil || !all || !slices.Equal(got, want) {
		t.Errorf("HostPorts() = %v, %t, %v", got, all, err)
	}
	for _, bad := range []string{"", "0", "65536", "-1", "80/sctp", "80/", "192.0.2.1", "192.0.2.1:0", "0.0.0.0:80", "host:80", "[fe80::1%eth0]:80", "All", "192.0.2.0/24:80"} {
		if _, _, err := (config.Config{PodsMayReachHost: []string{bad}}).HostPorts(); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
