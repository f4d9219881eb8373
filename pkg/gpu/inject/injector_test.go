package inject_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

// cdiHost is a folder with the recorded specification and one of another vendor.
func cdiHost(t *testing.T) cdi.Specs {
	t.Helper()
	data, err := os.ReadFile("../../cdi/testdata/nvidia-cdi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nvidia.yaml": string(data),
		"other.json":  `{"cdiVersion":"0.6.0","kind":"example.com/nic","devices":[]}`,
		"notes.txt":   "not a specification",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cdi.Specs{Dirs: []string{filepath.Join(dir, "absent"), dir}}
}

func strategy(t *testing.T, name string, specs cdi.Specs) inject.Strategy {
	t.Helper()
	list, err := inject.Strategies(name, specs)
	if err != nil || len(list) != 1 {
		t.Fatalf("Strategies(%s) = %v, %v", name, list, err)
	}
	return list[0]
}

var (
	gpu0 = gputest.Host(2).Devices[0]
	gpu1 = gputest.Host(2).Devices[1]
	mig0 = gpu.Device{UUID: "MIG-0", Resource: "nvidia.com/mig-1g.5gb", ParentUUID: gputest.UUID(0), Nodes: []string{"/dev/nvidia0"}}
	fpga = gputest.FPGA()
	amd  = gputest.AMD()
)

func TestInjection(t *testing.T) {
	specs := cdiHost(t)
	void := "NVIDIA_VISIBLE_DEVICES=void"
	nodes := func(paths ...string) []inject.DeviceNode {
		var list []inject.DeviceNode
		for _, p := range paths {
			list = append(list, inject.DeviceNode{Path: p, Permissions: "rw"})
		}
		return list
	}
	driver := []inject.Mount{
		{Source: "/opt/driver/libcuda.so.550.54.14", Target: "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14", ReadOnly: true},
		{Source: "/usr/bin/nvidia-smi", Target: "/usr/bin/nvidia-smi", ReadOnly: true},
		{Source: "/opt/driver/libcuda.so.550.54.14", Target: "/usr/lib/x86_64-linux-gnu/libcuda.so", ReadOnly: true},
	}
	libraries := []string{"/usr/lib/x86_64-linux-gnu"}
	env := []string{"NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/x86_64-linux-gnu", void}
	tests := []struct {
		name     string
		strategy string
		devices  []gpu.Device
		want     inject.Edits
	}{
		{"nothing asked for", inject.StrategyRuntime, nil, inject.Edits{Env: []string{void}}},
		{"runtime", inject.StrategyRuntime, []gpu.Device{gpu0, gpu1}, inject.Edits{Runtime: "nvidia", Env: []string{"NVIDIA_VISIBLE_DEVICES=GPU-0,GPU-1"}}},
		{"CDI by UUID and by index", inject.StrategyCDI, []gpu.Device{gpu0, gpu1, mig0},
			inject.Edits{Env: []string{void}, CDIDevices: []string{"nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1", "nvidia.com/gpu=MIG-0"}}},
		{"device list", inject.StrategyDevices, []gpu.Device{gpu0},
			inject.Edits{Env: env, Devices: nodes("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0"), Mounts: driver, LibraryPath: libraries}},
		{"device list of an instance", inject.StrategyDevices, []gpu.Device{mig0},
			inject.Edits{Env: env, Devices: nodes("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap12"), Mounts: driver, LibraryPath: libraries}},
		{"FPGA", inject.StrategyDevices, []gpu.Device{fpga}, inject.Edits{Env: []string{void}, Devices: nodes("/dev/dri/renderD128")}},
		{"AMD", inject.StrategyDevices, []gpu.Device{amd}, inject.Edits{Env: []string{void}, Devices: nodes("/dev/dri/renderD129", "/dev/kfd")}},
		{"two vendors", inject.StrategyRuntime, []gpu.Device{fpga, gpu0},
			inject.Edits{Runtime: "nvidia", Env: []string{"NVIDIA_VISIBLE_DEVICES=GPU-0"}, Devices: nodes("/dev/dri/renderD128")}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := inject.Injector{NVIDIA: strategy(t, tc.strategy, specs)}.Container(tc.devices)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("injection (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSandboxInjection(t *testing.T) {
	specs := cdiHost(t)
	devices := []gpu.Device{gpu0, gpu1, fpga}
	t.Run("device list keeps the host's paths", func(t *testing.T) {
		in, err := inject.Injector{NVIDIA: strategy(t, inject.StrategyDevices, specs)}.Sandbox(devices)
		if err != nil {
			t.Fatal(err)
		}
		want := []inject.Mount{
			{Source: "/opt/driver/libcuda.so.550.54.14", Target: "/opt/driver/libcuda.so.550.54.14", ReadOnly: true},
			{Source: "/usr/bin/nvidia-smi", Target: "/usr/bin/nvidia-smi", ReadOnly: true},
		}
		if diff := cmp.Diff(want, in.Mounts); diff != "" {
			t.Errorf("mounts (-want +got):\n%s", diff)
		}
		if len(in.Devices) != 5 {
			t.Errorf("devices = %v, want those of both GPUs, the control nodes and the FPGA", in.Devices)
		}
	})
	t.Run("runtime sees all", func(t *testing.T) {
		in, err := inject.Injector{NVIDIA: strategy(t, inject.StrategyRuntime, specs)}.Sandbox(devices)
		if err != nil || in.Runtime != "nvidia" || !strings.Contains(strings.Join(in.Env, " "), "NVIDIA_VISIBLE_DEVICES=all") {
			t.Errorf("injection = %+v, %v", in, err)
		}
	})
	t.Run("CDI gets the specification", func(t *testing.T) {
		in, err := inject.Injector{NVIDIA: strategy(t, inject.StrategyCDI, specs)}.Sandbox(devices)
		if err != nil {
			t.Fatal(err)
		}
		want := []inject.Mount{{Source: specs.Dirs[1], Target: specs.Dirs[1], ReadOnly: true}}
		if diff := cmp.Diff(want, in.Mounts); diff != "" {
			t.Errorf("mounts (-want +got):\n%s", diff)
		}
	})
	t.Run("no NVIDIA device", func(t *testing.T) {
		in, err := inject.Injector{}.Sandbox(nil)
		if diff := cmp.Diff(inject.Void(), in, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("error %v, injection (-want +got):\n%s", err, diff)
		}
	})
}

func TestInjectionRefuses(t *testing.T) {
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "x.yaml"), []byte("kind: [not, a, kind]"), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := gpu.Device{UUID: "GPU-9", Resource: gpu.ResourceGPU, Nodes: []string{"/dev/nvidia9"}}
	newInstance := gpu.Device{UUID: "MIG-9", Resource: "nvidia.com/mig-1g.5gb", ParentUUID: gputest.UUID(0), Nodes: []string{"/dev/nvidia0"}}
	tests := []struct {
		name   string
		specs  cdi.Specs
		device gpu.Device
		want   string
	}{
		{"no specification", cdi.Specs{Dirs: []string{t.TempDir()}}, gpu0, "nvidia-ctk cdi generate"},
		{"a broken one", cdi.Specs{Dirs: []string{broken}}, gpu0, "x.yaml"},
		{"a GPU that is not in it", cdiHost(t), stranger, "does not have GPU-9"},
		{"an instance by index, which may be stale", cdiHost(t), newInstance, "does not have MIG-9"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range []string{inject.StrategyDevices, inject.StrategyCDI} {
				_, err := inject.Injector{NVIDIA: strategy(t, name, tc.specs)}.Container([]gpu.Device{tc.device})
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: error = %v, want one with %q", name, err, tc.want)
				}
			}
		})
	}
}

func TestInjectionWithoutStrategy(t *testing.T) {
	var i inject.Injector
	if _, err := i.Container([]gpu.Device{gpu0}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("container: error = %v, want failed precondition", err)
	}
	if _, err := i.Sandbox([]gpu.Device{gpu0}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("sandbox: error = %v, want failed precondition", err)
	}
}

func TestSettle(t *testing.T) {
	all, err := inject.Strategies(inject.StrategyAuto, cdi.Specs{})
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	chosen, err := inject.Settle(t.Context(), all, func(_ context.Context, s inject.Strategy) error {
		tried = append(tried, s.Name())
		if s.Name() == inject.StrategyDevices {
			return errors.New("no driver files")
		}
		return nil
	})
	if err != nil || chosen.Name() != inject.StrategyCDI {
		t.Errorf("chosen = %v, %v; want cdi", chosen, err)
	}
	if diff := cmp.Diff([]string{inject.StrategyDevices, inject.StrategyCDI}, tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
	_, err = inject.Settle(t.Context(), all, func(_ context.Context, s inject.Strategy) error { return errors.New("broken " + s.Name()) })
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "broken cdi") || !strings.Contains(err.Error(), "broken nvidia-runtime") {
		t.Errorf("error = %v, want every reason", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inject.Settle(ended, all, func(context.Context, inject.Strategy) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want canceled", err)
	}
	if _, err := inject.Strategies("magic", cdi.Specs{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("error = %v, want invalid argument", err)
	}
}

// An FPGA brings the tools of its vendor; other devices do not.
func TestFPGATools(t *testing.T) {
	const tools = "/opt/xilinx/xrt"
	i := inject.Injector{FPGATools: []string{tools}}
	for _, tc := range []struct {
		device gpu.Device
		want   []inject.Mount
	}{{fpga, []inject.Mount{{Source: tools, Target: tools, ReadOnly: true}}}, {amd, nil}} {
		in, err := i.Container([]gpu.Device{tc.device})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, in.Mounts); diff != "" {
			t.Errorf("%s: mounts (-want +got):\n%s", tc.device.Resource, diff)
		}
	}
}
