//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// hangingMount is a file system below dir whose server never answers.
func hangingMount(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "gone")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(server) }) // which ends all calls that wait
	if err := unix.Mount("docker-sd-test", path, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return path
}

// hangingSocket takes connections and never answers.
func hangingSocket(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "hanging.sock")
	listener, err := net.Listen("unix", path) // the kernel completes connections
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return path
}

// hangingDriver is a library that loads, and never returns from its first call.
func hangingDriver(t *testing.T, dir string) string {
	t.Helper()
	source, path := filepath.Join(dir, "hang.c"), filepath.Join(dir, "libnvidia-ml.so.1")
	if err := os.WriteFile(source, []byte("#include <unistd.h>\nint nvmlInit_v2(void) { for (;;) pause(); }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("compile a driver: %v\n%s", err, out)
	}
	return path
}

// What hangs has a line that says so, and all other checks are made.
func TestCheckGoesOnWhereSomethingHangs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings func(t *testing.T, dir string) map[string]any
		late     []string
		// others are later lines that must be there.
		others []string
	}{
		"nothing": {func(_ *testing.T, dir string) map[string]any {
			return map[string]any{"HostPathPrefixes": []string{dir}}
		}, nil, []string{"host path", "sandbox image", "fair shares"}},
		"engine": {func(t *testing.T, dir string) map[string]any {
			return map[string]any{"DOCKER_HOST": "unix://" + hangingSocket(t, dir)}
		}, []string{"engine"}, []string{"kernel", "data folder", "listen address"}},
		"folder of pods": {func(t *testing.T, dir string) map[string]any {
			return map[string]any{"HostPathPrefixes": []string{hangingMount(t, dir), dir + "/other"}}
		}, []string{"host path", "host paths"}, []string{"sandbox image", "sandbox boot", "fair shares"}},
		"data folder": {func(t *testing.T, dir string) map[string]any {
			return map[string]any{"DataRootFolder": hangingMount(t, dir) + "/data"}
		}, []string{"data disk", "docker-sd"}, []string{"engine", "listen address", "sandbox boot", "fair shares"}},
		"driver": {func(t *testing.T, dir string) map[string]any {
			return map[string]any{"GPUENABLED": 1, "GPULibraryPath": hangingDriver(t, dir)}
		}, []string{"gpu driver"}, []string{"sandbox image", "fair shares"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("/tmp", "dshang") // short, for sockets
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "AdminAddress": "off"})
			for key, value := range c.settings(t, dir) {
				d.settings[key] = value
			}
			if err := d.writeConfig(); err != nil {
				t.Fatal(err)
			}
			limit := "5s"
			if c.late == nil {
				limit = "1m" // of a host that is slow and does not hang
			}
			args := []string{"check", "-o", "json", "--timeout", "10m", "--probe-timeout", limit}
			if c.late == nil || name == "driver" {
				args = append(args, "--no-boot")
			}
			out, errs, _ := d.command(t, args...)
			var report preflight.Report
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatalf("check prints %v\n%s%s", err, out, errs)
			}
			var late []string
			for _, l := range report.Lines {
				if strings.Contains(l.Found, "it took longer than ") {
					late = append(late, l.Name)
				}
			}
			slices.Sort(late)
			for _, want := range c.late {
				if !slices.Contains(late, want) {
					t.Errorf("%s is not said to hang: %+v", want, report.Lines)
				}
			}
			if c.late == nil && len(late) > 0 {
				t.Errorf("%q are said to hang, and nothing does", late)
			}
			for _, want := range c.others {
				lineOf(t, report, want)
			}
		})
	}
}
