package accelerators

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cdi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// gpuLab is a host with GPUs, its engine and its pool, all made up.
type gpuLab struct {
	t          *testing.T
	dir        string
	info       engine.Info
	containers []engine.Container
	inspected  int

	hardware sandbox.Hardware
	sets     int
	tried    []sandbox.Hardware
	// trial is the outcome of booting a sandbox to try a strategy.
	trial error
}

func (l *gpuLab) Info(context.Context) (engine.Info, error) { return l.info, nil }

func (l *gpuLab) List(context.Context, ...string) ([]engine.Container, error) {
	return l.containers, nil
}

func (l *gpuLab) Inspect(_ context.Context, id string) (engine.Container, error) {
	l.inspected++
	for _, c := range l.containers {
		if c.ID == id {
			return c, nil
		}
	}
	return engine.Container{}, errdefs.ErrNotFound
}

func (l *gpuLab) SetHardware(h sandbox.Hardware) { l.hardware, l.sets = h, l.sets+1 }

func (l *gpuLab) Try(_ context.Context, h sandbox.Hardware, _ func(context.Context, *sandbox.Sandbox) error) error {
	l.tried = append(l.tried, h)
	return l.trial
}

// describe writes a CDI specification with these GPUs and makes their nodes.
func (l *gpuLab) describe(uuids ...string) {
	l.t.Helper()
	spec := "kind: nvidia.com/gpu\ndevices:\n"
	for _, u := range uuids {
		spec += fmt.Sprintf("- name: %s\n  containerEdits: {deviceNodes: [{path: %s}]}\n", u, l.node(u))
		if err := os.WriteFile(l.node(u), nil, 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(l.dir, "nvidia.yaml"), []byte(spec), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *gpuLab) node(uuid string) string { return filepath.Join(l.dir, uuid) }

// start opens the accelerators of this host, with no driver loaded.
func (l *gpuLab) start(edit func(*Config)) *Accelerators {
	l.t.Helper()
	c := Config{Strategy: inject.StrategyAuto, Specs: cdi.Specs{Dirs: []string{l.dir}}}
	if edit != nil {
		edit(&c)
	}
	a, err := Open(l.t.Context(), c, gpu.NewLedger(c.Sharing), l, l)
	if err != nil {
		l.t.Fatal(err)
	}
	a.proc = filepath.Join(l.dir, "proc")
	return a
}

// pass is what the monitor does with an inventory.
func pass(t *testing.T, a *Accelerators, devices ...gpu.Device) {
	t.Helper()
	a.prepare(t.Context(), devices)
	a.ledger.Update(gpu.Inventory{Devices: devices})
}

func newGPULab(t *testing.T) *gpuLab {
	return &gpuLab{t: t, dir: t.TempDir(), info: engine.Info{Version: "20.10", Runtimes: []string{"runc"}}}
}

func fake(uuid string) gpu.Device {
	return gpu.Device{UUID: uuid, Resource: gpu.ResourceGPU, Name: "Test"}
}

func TestStrategyIsChosen(t *testing.T) {
	for _, tc := range []struct {
		name       string
		configured string
		prepare    func(*gpuLab)
		want       string
		why        []string
		trials     int
	}{
		{"devices first", "auto", func(l *gpuLab) { l.describe("GPU-0"); l.info.Runtimes = []string{"nvidia"} }, "devices", nil, 0},
		{"runtime without a CDI specification", "auto", func(l *gpuLab) { l.info.Runtimes = []string{"runc", "nvidia"} }, "nvidia-runtime", nil, 1},
		{"CDI where a node is missing", "auto", func(l *gpuLab) {
			l.describe("GPU-0")
			l.info.CDISpecDirs = []string{"/etc/cdi"}
			if err := os.Remove(l.node("GPU-0")); err != nil {
				l.t.Fatal(err)
			}
		}, "cdi", nil, 1},
		{"nothing works", "auto", func(*gpuLab) {}, "", []string{"strategy devices: no CDI specification", "strategy cdi: no CDI", `no runtime "nvidia"`}, 0},
		{"runtime is not in the sandbox", "nvidia-runtime", func(l *gpuLab) {
			l.describe("GPU-0")
			l.info.Runtimes, l.trial = []string{"nvidia"}, errors.New("the engine in the sandbox image has none")
		}, "", []string{"strategy nvidia-runtime", "in the sandbox image"}, 1},
		{"CDI on an old engine", "cdi", func(l *gpuLab) { l.describe("GPU-0") }, "", []string{"20.10 does not support CDI"}, 0},
		{"as configured", "cdi", func(l *gpuLab) { l.describe("GPU-0"); l.info.CDISpecDirs = []string{"/etc/cdi"} }, "cdi", nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newGPULab(t)
			tc.prepare(l)
			a := l.start(func(c *Config) { c.Strategy = tc.configured })
			pass(t, a, fake("GPU-0"))
			pass(t, a, fake("GPU-0"))
			if got := a.strategy.Name(); got != tc.want {
				t.Errorf("chosen = %q, want %q", got, tc.want)
			}
			if len(l.tried) != tc.trials {
				t.Errorf("%d sandboxes were booted to try, want %d", len(l.tried), tc.trials)
			}
			for _, want := range tc.why {
				if !strings.Contains(a.cordoned["GPU-0"], want) || strings.Contains(a.cordoned["GPU-0"], "\n") {
					t.Errorf("reason %q lacks %q", a.cordoned["GPU-0"], want)
				}
			}
			total := a.ledger.Totals()[gpu.ResourceGPU]
			if want := int64(1); tc.want == "" && total != 0 || tc.want != "" && total != want {
				t.Errorf("offered = %d", total)
			}
		})
	}
}

// What a sandbox cannot be given is set aside, and comes back when it can.
func TestDevicesThatCannotBeGiven(t *testing.T) {
	l := newGPULab(t)
	l.describe("GPU-0")
	a := l.start(nil)
	if diff := cmp.Diff([]string{"NVIDIA_VISIBLE_DEVICES=void"}, l.hardware.Env); diff != "" {
		t.Errorf("variables of a sandbox without devices (-want +got):\n%s", diff)
	}
	wanted := func(uuids ...string) {
		t.Helper()
		var nodes, got []string
		for _, u := range uuids {
			nodes = append(nodes, l.node(u))
		}
		for _, d := range l.hardware.Devices {
			got = append(got, d.Host)
		}
		if diff := cmp.Diff(nodes, got); diff != "" {
			t.Errorf("devices of a sandbox (-want +got):\n%s", diff)
		}
		if got := a.ledger.Totals()[gpu.ResourceGPU]; got != int64(len(uuids)) {
			t.Errorf("offered = %d, want %d", got, len(uuids))
		}
	}
	pass(t, a, fake("GPU-0"), fake("GPU-1"))
	wanted("GPU-0")
	l.describe("GPU-0", "GPU-1")
	pass(t, a, fake("GPU-0"), fake("GPU-1"))
	wanted("GPU-0", "GPU-1")
	if err := os.Remove(l.node("GPU-0")); err != nil {
		t.Fatal(err)
	}
	pass(t, a, fake("GPU-0"), fake("GPU-1"))
	wanted("GPU-1")
	if got := a.cordoned["GPU-0"]; !strings.Contains(got, "nvidia-modprobe") {
		t.Errorf("reason = %q", got)
	}
}

func TestIdentify(t *testing.T) {
	const sandbox, stranger = "a1", "b2"
	id := func(s string) string { return strings.Repeat(s, 32) }
	l := newGPULab(t)
	a := l.start(func(c *Config) {
		c.Sharing = gpu.Sharing{Strategy: gpu.SharingMPS, Resources: []gpu.SharedResource{{Name: gpu.ResourceGPU, Replicas: 2}}}
	})
	process := func(pid int, cgroup, comm string) {
		dir := filepath.Join(a.proc, fmt.Sprint(pid))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"cgroup": cgroup, "comm": comm} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	process(1, "4:memory:/docker/"+id(sandbox)+"/docker/"+id("c3")+"\n0::/\n", "python")
	process(2, "0::/system.slice/docker-"+id(sandbox)+".scope/docker/"+id("c3")+"\n", "python")
	process(3, "0::/docker/"+id(stranger)+"\n", "python")
	process(4, "0::/user.slice\n", "python")
	process(5, "0::/system.slice/mps.service\n", "nvidia-cuda-mps\n")
	if _, ours := a.identify(t.Context(), 4); !ours {
		t.Error("a process is a stranger before the pods of an earlier run are known")
	}
	a.Recovered(t.Context(), func(container string) (types.UID, bool) { return "pod", container == id(sandbox) })
	for _, tc := range []struct {
		name  string
		pid   int
		owner string
		ours  bool
	}{
		{"cgroup v1", 1, "pod", true}, {"cgroup v2", 2, "pod", true}, {"another container", 3, "", false},
		{"a user's", 4, "", false}, {"MPS server", 5, "", true}, {"gone", 6, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if owner, ours := a.identify(t.Context(), tc.pid); owner != tc.owner || ours != tc.ours {
				t.Errorf("identify = %q, %v, want %q, %v", owner, ours, tc.owner, tc.ours)
			}
		})
	}
}

// Containers that somebody else runs on the host keep what they were given.
func TestForeignContainers(t *testing.T) {
	l := newGPULab(t)
	l.describe("GPU-0", "GPU-1", "GPU-2")
	running := engine.State{Status: engine.StatusRunning}
	l.containers = []engine.Container{
		{ID: "1", Name: "by-variable", State: running, Env: []string{"A=b", "NVIDIA_VISIBLE_DEVICES=GPU-0"}},
		{ID: "2", Name: "by-request", State: running, DeviceIDs: []string{"nvidia.com/gpu=GPU-1"}},
		{ID: "3", Name: "all", State: running, Env: []string{"NVIDIA_VISIBLE_DEVICES=all"}},
		{ID: "4", Name: "stopped", State: engine.State{Status: engine.StatusExited}, Env: []string{"NVIDIA_VISIBLE_DEVICES=GPU-2"}},
		{ID: "5", Name: "sandbox", State: running, Labels: map[string]string{engine.LabelSandbox: "x"}, Env: []string{"NVIDIA_VISIBLE_DEVICES=GPU-2"}},
	}
	a := l.start(nil)
	devices := []gpu.Device{fake("GPU-0"), fake("GPU-1"), fake("GPU-2")}
	pass(t, a, devices...)
	if got := a.ledger.Totals()[gpu.ResourceGPU]; got != 1 {
		t.Errorf("offered = %d, want 1", got)
	}
	for _, d := range a.ledger.Snapshot().Devices {
		if d.UUID == "GPU-1" && (d.State != gpu.StateForeign || !strings.Contains(strings.Join(d.Reasons, ""), "container by-request")) {
			t.Errorf("GPU-1 is %s: %v", d.State, d.Reasons)
		}
	}
	pass(t, a, devices...)
	if l.inspected != 3 {
		t.Errorf("%d inspections, want one for each running container", l.inspected)
	}
	l.containers = l.containers[1:]
	pass(t, a, devices...)
	if got := a.ledger.Totals()[gpu.ResourceGPU]; got != 2 {
		t.Errorf("offered = %d after one has gone, want 2", got)
	}
}
