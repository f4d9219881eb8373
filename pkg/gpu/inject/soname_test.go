//go:build cgo

package inject_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/inject"
)

// The driver's library gets a mount under its soname, which a hook would link.
func TestDeviceListMountsSonames(t *testing.T) {
	root := t.TempDir()
	library := filepath.Join(root, "opt/driver/libcuda.so.550.54.14")
	if err := os.MkdirAll(filepath.Dir(library), 0o700); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(root, "empty.c")
	if err := os.WriteFile(source, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-Wl,-soname,libcuda.so.1", "-o", library, source).CombinedOutput()
	if err != nil {
		t.Fatalf("compiling a library: %v\n%s", err, out)
	}
	specs := cdiHost(t)
	specs.Root = root
	in, err := inject.Injector{NVIDIA: strategy(t, inject.StrategyDevices, specs)}.Container([]gpu.Device{gpu0})
	if err != nil {
		t.Fatal(err)
	}
	want := inject.Mount{Source: "/opt/driver/libcuda.so.550.54.14", Target: "/usr/lib/x86_64-linux-gnu/libcuda.so.1", ReadOnly: true}
	if !slices.Contains(in.Mounts, want) {
		t.Errorf("mounts = %v, want %v among them", in.Mounts, want)
	}
}
