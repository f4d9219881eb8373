package config_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

func noEnv(string) string { return "" }

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func writeFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "InterLinkConfig.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestPath(t *testing.T) {
	set := env(map[string]string{"INTERLINKCONFIGPATH": "/from/env.yaml"})
	there, absent, other := writeFile(t, ""), filepath.Join(t.TempDir(), "absent.yaml"), filepath.Join(t.TempDir(), "other.yaml")
	for _, tt := range []struct {
		name     string
		flag     string
		getenv   func(string) string
		defaults []string
		want     string
	}{
		{"flag first", "/from/flag.yaml", set, []string{there}, "/from/flag.yaml"},
		{"then the variable", "", set, []string{there}, "/from/env.yaml"},
		{"then the first default", "", noEnv, []string{there, absent}, there},
		{"then one that is there", "", noEnv, []string{absent, there}, there},
		{"the last if there is none", "", noEnv, []string{absent, other}, other},
		{"that of 2024 is the last", "", noEnv, config.DefaultPaths()[1:], "/etc/interlink/InterLinkConfig.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := config.Path(tt.flag, tt.getenv, tt.defaults); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// exampleFile is the file that the documentation of earlier versions shows.
const exampleFile = `InterlinkURL: "http://127.0.0.1"
SidecarURL: "http://127.0.0.1"
InterlinkPort: "3000"
SidecarPort: "4000"
CommandPrefix: ""
ExportPodData: true
DataRootFolder: ".local/interlink/jobs/"
ServiceAccount: "interlink"
Namespace: "vk"
Tsocks: false
TsocksPath: "$WORK/tsocks-1.8beta5+ds1/libtsocks.so"
TsocksLoginNode: "login01"
BashPath: /bin/bash
VerboseLogging: true
ErrorsOnlyLogging: false
`

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name string
		file string
		env  map[string]string
		edit func(*config.Config) // of Default
	}{
		{name: "empty file", edit: func(*config.Config) {}},
		{name: "comment only", file: "# nothing\n", edit: func(*config.Config) {}},
		{name: "example file of earlier versions", file: exampleFile, edit: func(c *config.Config) {
			c.SidecarURL, c.VerboseLogging = "http://127.0.0.1", true
		}},
		{name: "null and empty keep the default", edit: func(*config.Config) {},
			file: "SidecarPort: ''\nDataRootFolder: \nMaxPods: null\nSandboxBootTimeout: \"\"\nCapacity:\nVerboseLogging: ''\nHostPathPrefixes:\n"},
		{name: "ignored keys take any value", edit: func(*config.Config) {},
			file: "InterlinkPort: [1]\nEnableProbes: perhaps\nVKTokenFile: /does/not/exist\nSingularityDefaultOptions: {a: 1}\n",
			env:  map[string]string{"INTERLINKPORT": "x", "VKTOKENFILE": "/missing", "TSOCKSPATH": "/missing", "POD_IP": "-"}},
		{name: "keys in any case", file: "sidecarport: 4001\nAvailableDinds: 3\nMAXPODS: 1\n", edit: func(c *config.Config) {
			c.SidecarPort, c.AvailableDinds, c.MaxPods = 4001, 3, 1
		}},
		{name: "port as number", file: "SidecarPort: 4010\nInterlinkPort: 3000\n", edit: func(c *config.Config) { c.SidecarPort = 4010 }},
		{name: "port as text", file: "SidecarPort: ' 4010 '\n", edit: func(c *config.Config) { c.SidecarPort = 4010 }},
		{name: "environment over file", file: "SidecarPort: 4010\nSidecarURL: http://10.0.0.1\nAVAILABLEDINDS: 1\nGPUENABLED: 1\nDOCKER_HOST: unix:///a\n",
			env: map[string]string{"SIDECARPORT": "4020", "SIDECARURL": "http://0.0.0.0", "AVAILABLEDINDS": "10", "GPUENABLED": "0", "DOCKER_HOST": "tcp://b:1"},
			edit: func(c *config.Config) {
				c.SidecarPort, c.SidecarURL, c.AvailableDinds, c.DockerHost = 4020, "http://0.0.0.0", 10, "tcp://b:1"
			}},
		{name: "switches by variable", env: map[string]string{"GPUENABLED": "1", "FPGAENABLED": "1", "FPGA_DISABLE_BOOKKEEPING": "1", "ENABLE_TRACING": "1", "TSOCKS": "true"},
			edit: func(c *config.Config) {
				c.GPUEnabled, c.FPGA.Enabled, c.FPGA.DisableBookkeeping, c.Telemetry.Enabled = true, true, true, true
			}},
		{name: "switches in the file", file: "GPUENABLED: \"1\"\nFPGAEnabled: true\nENABLE_TRACING: 1\nFPGA_DISABLE_BOOKKEEPING: false\n",
			edit: func(c *config.Config) { c.GPUEnabled, c.FPGA.Enabled, c.Telemetry.Enabled = true, true, true }},
		{name: "telemetry", env: map[string]string{
			"TELEMETRY_UNIQUE_ID": "a", "TELEMETRY_ENDPOINT": "b:1", "TELEMETRY_CA_CRT_FILEPATH": "/ca", "TELEMETRY_CLIENT_CRT_FILEPATH": "/crt",
			"TELEMETRY_CLIENT_KEY_FILEPATH": "/key", "TELEMETRY_INSECURE_SKIP_VERIFY": "true",
		}, edit: func(c *config.Config) {
			c.Telemetry = config.Telemetry{UniqueID: "a", Endpoint: "b:1", CACertFile: "/ca", ClientCertFile: "/crt", ClientKeyFile: "/key", InsecureSkipVerify: true}
		}},
		{name: "pool limits", file: "AVAILABLEDINDS: 127\nMostWarmSandboxes: 127\n", edit: func(c *config.Config) { c.AvailableDinds, c.MostWarmSandboxes = 127, 127 }},
		{name: "no pool", env: map[string]string{"AVAILABLEDINDS": "0"}, edit: func(c *config.Config) { c.AvailableDinds = 0 }},
		{name: "paths are cleaned", file: "DataRootFolder: /data//jobs/\nXRTPath: /opt/xrt/\nHostPathPrefixes: [/cvmfs/, /srv/../mnt]\nPersistentVolumeClaims: {ns/a: /srv/a/, b.c: /srv/b}\n",
			edit: func(c *config.Config) {
				c.DataRootFolder, c.FPGA.XRTPath, c.HostPathPrefixes = "/data/jobs", "/opt/xrt", []string{"/cvmfs", "/mnt"}
				c.PersistentVolumeClaims = map[string]string{"ns/a": "/srv/a", "b.c": "/srv/b"}
			}},
		{name: "no host paths", file: "HostPathPrefixes: []\n", edit: func(c *config.Config) { c.HostPathPrefixes = []string{} }},
		{name: "taints removed", file: "PingTaints: []\n", edit: func(c *config.Config) { c.PingTaints = []config.Taint{} }},
		{name: "taints", file: "PingTaints: [{key: a/b, value: c, effect: NoExecute}, {key: d}]\n", edit: func(c *config.Config) {
			c.PingTaints = []config.Taint{{Key: "a/b", Value: "c", Effect: "NoExecute"}, {Key: "d", Effect: "NoSchedule"}}
		}},
		{name: "capacity", file: "Capacity: {cpu: 4, memory: 65536Mi}\n", edit: func(c *config.Config) { c.Capacity = config.Capacity{CPU: "4", Memory: "64Gi"} }},
		{name: "subnets", file: "DockerNetworkSubnet: [10.0.0.0/8, 172.16.5.4/16, 192.168.1.16/28]\n", edit: func(c *config.Config) {
			c.DockerNetworkSubnet = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/16"), netip.MustParsePrefix("192.168.1.16/28")}
		}},
		{name: "sizes and times", file: "MaxBodyBytes: 1Mi\nContainerLogMaxSize: 1000\nImagePullTimeout: 1h30m\nTombstonePeriod: 10m\n", edit: func(c *config.Config) {
			c.MaxBodyBytes, c.ContainerLogMaxSize, c.ImagePullTimeout, c.TombstonePeriod = 1<<20, 1000, 90*time.Minute, 10*time.Minute
		}},
		{name: "runtime classes", file: "RuntimeClasses: {crun: {runtime: crun, path: /opt/crun}, also-crun: {runtime: crun}, nvidia: {}, empty: , own: {sandboxImage: example.org/dind}}\n", edit: func(c *config.Config) {
			c.RuntimeClasses = config.RuntimeClasses{"crun": {Runtime: "crun", Path: "/opt/crun"}, "also-crun": {Runtime: "crun"}, "nvidia": {}, "empty": {},
				"own": {SandboxImage: "example.org/dind"}}
		}},
		{name: "defaults from the host", file: "PodDefaults: {timeZone: America/Argentina/Buenos_Aires, caCertificates: /etc/ssl/site.pem}\n", edit: func(c *config.Config) {
			c.PodDefaults.TimeZone, c.PodDefaults.CACertificates = "America/Argentina/Buenos_Aires", "/etc/ssl/site.pem"
		}},
		{name: "registries", file: "ImageSharing: pull\nRegistries: [{name: docker.io, mirrors: [https://mirror.example/hub, mirror.example:5000]}, {name: 'mirror.example:5000', insecure: true}, {name: r.example, caFile: /etc/ca.pem}]\n", edit: func(c *config.Config) {
			c.ImageSharing = config.ImageSharingPull
			c.Registries = []config.Registry{{Name: "docker.io", Mirrors: []string{"https://mirror.example/hub", "mirror.example:5000"}},
				{Name: "mirror.example:5000", Insecure: true}, {Name: "r.example", CAFile: "/etc/ca.pem"}}
		}},
		{name: "image sharing", file: "ImageSharing: pull\nSandboxImage: example.org:5000/dind@sha256:" + strings.Repeat("a", 64) + "\n", edit: func(c *config.Config) {
			c.ImageSharing, c.SandboxImage = config.ImageSharingPull, "example.org:5000/dind@sha256:"+strings.Repeat("a", 64)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := config.Load(writeFile(t, tt.file), env(tt.env))
			if err != nil {
				t.Fatal(err)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings: %q", warnings)
			}
			want := config.Default()
			tt.edit(&want)
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_DataRootFolderIsRelativeToWorkingDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, text := range []string{"DataRootFolder: jobs", "DataRootFolder: ./jobs/", "DataRootFolder: " + filepath.Join(dir, "jobs") + "/"} {
		got, _, err := config.Load(writeFile(t, text), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, "jobs"); got.DataRootFolder != want {
			t.Errorf("%s: got %q, want %q", text, got.DataRootFolder, want)
		}
	}
}

func TestLoad_Warnings(t *testing.T) {
	file := "Zebra: 1\nTLS: {Enabled: true}\nCapacity: {cpu: 1, disk: 2}\nAlpha: x\nGPUENABLED: \"true\"\n"
	cfg, got, err := config.Load(writeFile(t, file), env(map[string]string{"ENABLE_TRACING": "yes"}))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.GPUEnabled || cfg.Telemetry.Enabled {
		t.Error("a switch is on with a value other than 1")
	}
	want := []string{
		"ENABLE_TRACING is set to something else than 1 or 0, which means off",
		"GPUENABLED is set to something else than 1 or 0, which means off",
		`unknown key "Alpha" in the configuration file is ignored`,
		`unknown key "Capacity.disk" in the configuration file is ignored`,
		`unknown key "TLS" in the configuration file is ignored`,
		`unknown key "Zebra" in the configuration file is ignored`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoad_MissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.yaml")
	_, _, err := config.Load(path, noEnv)
	if !errors.Is(err, fs.ErrNotExist) || !errdefs.IsInvalidArgument(err) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{path, "-interlinkconfigpath", "INTERLINKCONFIGPATH"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func TestLoad_UnreadableFile(t *testing.T) {
	for name, path := range map[string]string{
		"folder":   t.TempDir(),
		"endless":  "/dev/zero",
		"too long": writeFile(t, strings.Repeat("# comment\n", 200_000)),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := config.Load(path, noEnv); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLoad_GPUs(t *testing.T) {
	file := `GPUStrategy: cdi
GPUSharing:
  strategy: time-slicing
  renameByDefault: true
  resources:
  - name: nvidia.com/gpu
    replicas: 4
  - {name: nvidia.com/mig-1g.5gb, rename: nvidia.com/slice, replicas: 2}
GPUIgnoredXIDs: [79]
GPUCriticalXIDs: [13, 31]
GPUHoldDown: 90s
GPULibraryPath: /opt//driver/libnvidia-ml.so.1
CDISpecDirs: [/opt/cdi/]
`
	got, warnings, err := config.Load(writeFile(t, file), noEnv)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %q", err, warnings)
	}
	want := config.GPU{
		Strategy: config.GPUStrategyCDI,
		Sharing: config.GPUSharing{Strategy: config.GPUSharingTimeSlicing, RenameByDefault: true,
			Resources: []config.SharedResource{{Name: "nvidia.com/gpu", Replicas: 4},
				{Name: "nvidia.com/mig-1g.5gb", Rename: "nvidia.com/slice", Replicas: 2}},
			MPSPipeDirectory: "/run/nvidia/mps/pipe", MPSShmDirectory: "/run/nvidia/mps/shm"},
		IgnoredXIDs: []uint64{79}, CriticalXIDs: []uint64{13, 31}, HoldDown: 90 * time.Second,
		LibraryPath: "/opt/driver/libnvidia-ml.so.1", CDISpecDirs: []string{"/opt/cdi"},
	}
	if diff := cmp.Diff(want, got.GPU); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSwitchedOff: YAML reads off without quotes as a boolean.
func TestSwitchedOff(t *testing.T) {
	for _, written := range []string{"off", `"off"`, "no", "false"} {
		t.Run(written, func(t *testing.T) {
			c, _, err := config.Load(writeFile(t, "AdminAddress: "+written+"\n"), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			if address, on := c.Admin(); on {
				t.Errorf("the admin address is on at %q", address)
			}
		})
	}
}

// TestFormerKeys: a key that has got another name is read by its former one.
func TestFormerKeys(t *testing.T) {
	c, warnings, err := config.Load(writeFile(t, "gpuHeededXIDs: [13]\n"), noEnv)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if diff := cmp.Diff([]uint64{13}, c.GPU.CriticalXIDs); diff != "" {
		t.Errorf("critical XIDs (-want +got):\n%s", diff)
	}
}
