package sysfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/gputest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/sysfs"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// cards is a host with two FPGAs, one without a ready driver, and an AMD GPU.
func cards(t *testing.T) (root, dev string) {
	t.Helper()
	root, dev = t.TempDir(), t.TempDir()
	for bus, card := range map[string]struct{ vendor, node string }{
		"0000:3b:00.0": {"0x10ee", ""},
		"0000:3b:00.1": {"0x10ee", "renderD128"},
		"0000:5e:00.1": {"0x10ee", "renderD129"},
		"0000:86:00.0": {"0x1002", "renderD130"},
		"0000:af:00.1": {"0x10ee", "renderD131"},
	} {
		dir := filepath.Join(root, "bus/pci/devices", bus)
		put(t, filepath.Join(dir, "vendor"), card.vendor+"\n")
		put(t, filepath.Join(dir, "device"), "0x5001\n")
		put(t, filepath.Join(dir, "numa_node"), "1\n")
		if card.node != "" {
			put(t, filepath.Join(dir, "drm", card.node, "uevent"), "")
		}
		if card.node != "" && card.node != "renderD131" {
			put(t, filepath.Join(dev, "dri", card.node), "")
		}
	}
	return root, dev
}

func TestFPGAInventory(t *testing.T) {
	inv, err := sysfs.FPGAs(cards(t)).Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	card := func(i int, node, bus string) gpu.Device {
		return gpu.Device{UUID: node, Resource: "xilinx.com/fpga", Index: i, Name: "PCI device 0x5001", PCIBusID: bus, NUMANode: 1, Nodes: []string{node}}
	}
	want := []gpu.Device{card(0, "/dev/dri/renderD128", "0000:3b:00.1"), card(1, "/dev/dri/renderD129", "0000:5e:00.1")}
	if diff := cmp.Diff(want, inv.Devices); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	if len(inv.Skipped) != 1 || !strings.Contains(inv.Skipped[0], "renderD131") {
		t.Errorf("skipped = %q, want the card without a node", inv.Skipped)
	}
	none, err := sysfs.FPGAs(t.TempDir(), t.TempDir()).Inventory(t.Context())
	if err != nil || len(none.Devices) != 0 {
		t.Errorf("a host without PCI: %v, %v", none.Devices, err)
	}
}

// amdGPUs stands for a vendor whose devices share a node beside their own.
func amdGPUs(root, dev string) monitor.Discoverer {
	return sysfs.RenderNodes{Resource: "amd.com/gpu", Vendor: "0x1002", Shared: []string{"/dev/kfd"}, SysfsRoot: root, DevRoot: dev}
}

func TestVendorsTogether(t *testing.T) {
	root, dev := cards(t)
	d := monitor.Combine(gputest.NewDriver(gputest.Host(2)), sysfs.FPGAs(root, dev), amdGPUs(root, dev), monitor.Null{})
	l := gpu.NewLedger(gpu.Sharing{})
	if err := monitor.New(monitor.Config{Discoverer: d, Ledger: l}).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"nvidia.com/gpu": 2, "xilinx.com/fpga": 2, "amd.com/gpu": 1}, l.Totals()); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	a, err := l.Reserve("pod", gpu.Request{Containers: []gpu.ContainerRequest{
		{Name: "main", Phase: gpu.PhaseMain, Counts: map[string]int64{"amd.com/gpu": 1, "xilinx.com/fpga": 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	devices, err := l.Devices(a, "main")
	if err != nil {
		t.Fatal(err)
	}
	in, err := inject.Injector{}.Container(devices)
	if err != nil {
		t.Fatal(err)
	}
	want := []inject.DeviceNode{{Path: "/dev/dri/renderD128", Permissions: "rw"}, {Path: "/dev/dri/renderD130", Permissions: "rw"}, {Path: "/dev/kfd", Permissions: "rw"}}
	if diff := cmp.Diff(want, in.Devices); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	for uuid, want := range map[string]bool{"/dev/dri/renderD128": true, "GPU-0": true, "GPU-none": false} {
		if err := d.Probe(t.Context(), uuid); (err == nil) != want {
			t.Errorf("probe of %s: %v", uuid, err)
		}
	}
	if err := os.Remove(filepath.Join(dev, "dri/renderD128")); err != nil {
		t.Fatal(err)
	}
	if err := sysfs.FPGAs(root, dev).Probe(t.Context(), "/dev/dri/renderD128"); !errdefs.IsNotFound(err) {
		t.Errorf("probe without a node = %v, want not found", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
