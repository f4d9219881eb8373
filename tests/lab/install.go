package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const installLimit = 5 * time.Minute

// enginePrograms are what a private engine needs of this machine, the tests of a loss of
// power, and the script of docs/install.md.
func enginePrograms() []string {
	return []string{"dockerd", "containerd", "containerd-shim-runc-v2", "runc", "iptables", "mkfs.ext4", "openssl"}
}

// imagePrograms are what the small images are made of.
func imagePrograms() []string {
	return []string{"busybox", "bash", "ldd"}
}

// sandboxPrograms are what the sandbox image is made of beside busybox.
func sandboxPrograms() []string {
	return []string{"dockerd", "containerd", "containerd-shim-runc-v2", "runc", "xtables-nft-multi"}
}

// sandboxExtras go into the sandbox image where they are installed.
func sandboxExtras() []string {
	return []string{"containerd-shim", "docker-init", "docker-proxy"}
}

// packages are the Debian packages that bring all of the above.
func packages() []string {
	return []string{"docker.io", "iptables", "busybox-static", "bash", "libc-bin", "e2fsprogs", "openssl"}
}

// findProgram returns the absolute path of a program. The system folders are
// searched too: PATH of an ordinary shell lacks them.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// findFirst is findProgram with folders to search before all others.
func findFirst(dirs []string, name string) (string, error) {
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return filepath.Abs(path)
		}
	}
	return findProgram(name)
}

func missingPrograms(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := findProgram(name)
		return err == nil
	})
}

// ensurePrograms installs Debian's packages when one of the programs is missing.
// It starts no service, and installs nothing where systemd would start one.
func ensurePrograms(ctx context.Context, names []string, stderr io.Writer) error {
	missing := missingPrograms(names)
	if len(missing) == 0 {
		return nil
	}
	what := strings.Join(missing, ", ") + " missing"
	by := "install " + strings.Join(packages(), " ") + " or what has them"
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%s and there is no apt-get: %s", what, by)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s and installing needs root: %s", what, by)
	}
	if exists("/run/systemd/system") {
		return fmt.Errorf("%s and installing here would start a system service: %s", what, by)
	}
	fmt.Fprintf(stderr, "lab: %s, installing %s\n", what, strings.Join(packages(), " "))
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	install := append([]string{"install", "-y", "--no-install-recommends"}, packages()...)
	for _, args := range [][]string{{"update"}, install} {
		if err := aptGet(ctx, args); err != nil {
			return err
		}
	}
	if missing := missingPrograms(names); len(missing) > 0 {
		return fmt.Errorf("%s missing after apt-get install %s", strings.Join(missing, ", "), strings.Join(packages(), " "))
	}
	return nil
}

func aptGet(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err), errors.New(lastLines(string(out), 10)))
	}
	return nil
}

// lastLines returns the last n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
