//go:build arm64build

// Package arm64_test looks at what "make arm64" has built, and runs it in an emulator.
package arm64_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	folder   = "../../bin/arm64"
	emulator = "qemu-aarch64-static"
)

// run returns what the program says; it may end with 1, which check does where a host is not fit.
func run(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(emulator); err != nil {
		for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "qemu-user-static"}} {
			cmd := exec.Command("apt-get", args...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("install the emulator: %v\n%s", err, out)
			}
		}
	}
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := "DataRootFolder: " + filepath.Join(t.TempDir(), "data") + "\nSandboxImage: " + os.Getenv("DOCKER_SD_TEST_SANDBOX") + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(emulator, append([]string{filepath.Join(folder, "docker-sd")}, args...)...)
	cmd.Env = append(os.Environ(), "INTERLINKCONFIGPATH="+config)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func TestVersion(t *testing.T) {
	if text := run(t, "version"); !strings.Contains(text, "linux/arm64") {
		t.Errorf("it says %s", text)
	}
}

// TestCheck: it speaks with a real engine and looks at this host.
func TestCheck(t *testing.T) {
	text := run(t, "check", "--no-boot")
	for _, want := range []string{"ok    engine           version ", "ok    cgroups          version ", "ok    sandbox image    " + os.Getenv("DOCKER_SD_TEST_SANDBOX")} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

// TestPrograms: all are for this processor, and docker-sd carries the others.
func TestPrograms(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(folder, "docker-sd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docker-sd", "docker-sd-init", "docker-sd-tunnel"} {
		path := filepath.Join(folder, name)
		file, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != elf.EM_AARCH64 {
			t.Errorf("%s is for %s", name, file.Machine)
		}
		file.Close()
		part, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(whole, part) {
			t.Errorf("docker-sd does not carry %s (%v)", name, err)
		}
	}
}
