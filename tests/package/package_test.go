//go:build package

// Package package_test looks into what "make package" has made.
package package_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// worstExposure is what systemd-analyze security may say of the unit, in tenths
// from 0 to 100. It runs as root and sees every process, which no more than this
// can be made of.
const worstExposure = 38

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		install(t, map[string]string{"systemd-analyze": "systemd", "dpkg-deb": "dpkg", "apparmor_parser": "apparmor"}[name])
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func install(t *testing.T, debian string) {
	t.Helper()
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", debian}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("install %s: %v\n%s", debian, err, out)
		}
	}
}

func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("../../bin", pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("bin has %d of %s, %v: run make package", len(found), pattern, err)
	}
	return found[0]
}

// unpacked is the root file system that the Debian package makes.
func unpacked(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	output(t, "dpkg-deb", "-x", only(t, "*.deb"), root)
	return root
}

func TestDebianPackage(t *testing.T) {
	root := unpacked(t)
	for path, want := range map[string]os.FileMode{
		"usr/bin/docker-sd":                        0o755,
		"usr/lib/systemd/system/docker-sd.service": 0o644,
		"usr/lib/systemd/system/dockersd.slice":    0o644,
		"etc/interlink/docker-sd.yaml":             0o640,
		"etc/apparmor.d/docker-sd-sandbox":         0o644,
		"usr/share/doc/docker-sd/config.yaml":      0o644,
		"usr/share/doc/docker-sd/copyright":        0o644,
		"usr/share/doc/docker-sd/docs/install.md":  0o644,
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, want)
		}
	}
	if version := strings.TrimSpace(output(t, filepath.Join(root, "usr/bin/docker-sd"), "-version")); version == "" || version == "dev" {
		t.Errorf("the packaged docker-sd has version %q", version)
	}
	control := t.TempDir()
	output(t, "dpkg-deb", "-e", only(t, "*.deb"), control)
	conffiles, err := os.ReadFile(filepath.Join(control, "conffiles"))
	if err != nil || string(conffiles) != "/etc/apparmor.d/docker-sd-sandbox\n/etc/interlink/docker-sd.yaml\n" {
		t.Errorf("conffiles %q, %v", conffiles, err)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		output(t, "sh", "-n", filepath.Join(control, script))
	}
	for field, want := range map[string]string{"Package": "docker-sd", "Section": "admin"} {
		if got := strings.TrimSpace(output(t, "dpkg-deb", "-f", only(t, "*.deb"), field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

// TestAppArmorProfile: the parser takes it, it has the name that docker-sd looks for,
// and the capabilities of a sandbox, no more and no less.
func TestAppArmorProfile(t *testing.T) {
	path := filepath.Join(unpacked(t), "etc/apparmor.d/docker-sd-sandbox")
	output(t, "apparmor_parser", "-QK", path)
	// Warnings about this host come before it.
	if names := strings.Fields(output(t, "apparmor_parser", "-N", path)); names[len(names)-1] != sandbox.AppArmorSandbox {
		t.Errorf("the profile is %q, want %q", names, sandbox.AppArmorSandbox)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, found := range regexp.MustCompile(`(?m)^  capability (\w+),$`).FindAllSubmatch(text, -1) {
		allowed = append(allowed, strings.ToUpper(string(found[1])))
	}
	slices.Sort(allowed)
	if diff := cmp.Diff(slices.Sorted(slices.Values(sandbox.Capabilities)), allowed); diff != "" {
		t.Errorf("capabilities (-sandbox +profile):\n%s", diff)
	}
}

func TestPackagedConfiguration(t *testing.T) {
	cfg, warnings, err := config.Load(filepath.Join(unpacked(t), "etc/interlink/docker-sd.yaml"), func(string) string { return "" })
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load() = %v, %v", err, warnings)
	}
	if diff := cmp.Diff("/var/lib/docker-sd", cfg.DataRootFolder); diff != "" {
		t.Errorf("DataRootFolder (-want +got):\n%s", diff)
	}
}

func TestRPM(t *testing.T) {
	data, err := os.ReadFile(only(t, "*.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte{0xed, 0xab, 0xee, 0xdb}) || !bytes.Contains(data, []byte("docker-sd.service")) {
		t.Error("it is no RPM package with the unit in it")
	}
}

// unit is the packaged one with its program where it was unpacked to.
func unit(t *testing.T) string {
	t.Helper()
	root := unpacked(t)
	data, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/docker-sd.service"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "ExecStart=/usr/bin", "ExecStart="+root+"/usr/bin", 1)
	path := filepath.Join(t.TempDir(), "docker-sd.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnit(t *testing.T) {
	path := unit(t)
	for line := range strings.Lines(output(t, "systemd-analyze", "verify", "--man=no", path)) {
		if strings.Contains(line, "docker-sd") {
			t.Errorf("systemd says: %s", line)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for _, want := range []string{"Type=notify", "KillMode=process", "Restart=on-failure", "WatchdogSec=60"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
}

func TestUnitIsHardened(t *testing.T) {
	report := output(t, "systemd-analyze", "security", "--offline=true", "--no-pager", unit(t))
	found := regexp.MustCompile(`Overall exposure level for docker-sd.service: (\d+)\.(\d)`).FindStringSubmatch(report)
	if found == nil {
		t.Fatalf("no level in the report:\n%s", report)
	}
	level, err := strconv.Atoi(found[1] + found[2])
	if err != nil || level > worstExposure {
		t.Errorf("exposure %d, %v, want at most %d:\n%s", level, err, worstExposure, report)
	}
}
