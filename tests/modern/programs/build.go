// Package programs builds the programs of a current Docker engine from the module proxy.
package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// source is the module that requires the engine's programs as tools.
const source = "tests/modern/engine"

// static programs are built without C; the runtime needs libseccomp, or the profiles of
// containers would be refused.
var static = []string{
	"github.com/moby/moby/v2/cmd/dockerd",
	"github.com/moby/moby/v2/cmd/docker-proxy",
	"github.com/containerd/containerd/v2/cmd/containerd",
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
}

const containerRuntime = "github.com/opencontainers/runc"

// flags give the engine the version of which v2.0.0-beta of its module is a part.
const flags = "-s -w -X github.com/moby/moby/v2/dockerversion.Version=29.0.0-modules"

// Dir is where the programs are kept: DOCKER_SD_MODERN_DIR, or /var/tmp/docker-sd-modern.
func Dir() string {
	if dir := os.Getenv("DOCKER_SD_MODERN_DIR"); dir != "" {
		return dir
	}
	return "/var/tmp/docker-sd-modern"
}

// Build returns the folder in dir with the engine's programs, made unless it is there. It is
// called at the top of the repository.
func Build(ctx context.Context, dir string, stderr io.Writer) (string, error) {
	key, err := contentKey(source)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bin-"+key)
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := needSeccomp(ctx, stderr); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the folder for the engine: %w", err)
	}
	unfinished, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", fmt.Errorf("make the folder for the engine: %w", err)
	}
	defer os.RemoveAll(unfinished)
	fmt.Fprintln(stderr, "modern: building the engine, which takes some minutes")
	began := time.Now()
	if err := goBuild(ctx, unfinished, "0", "", static...); err != nil {
		return "", err
	}
	if err := goBuild(ctx, unfinished, "1", "seccomp", containerRuntime); err != nil {
		return "", err
	}
	if err := os.Rename(unfinished, bin); err != nil {
		return "", fmt.Errorf("keep the engine: %w", err)
	}
	fmt.Fprintf(stderr, "modern: built in %s\n", time.Since(began).Round(time.Second))
	return bin, nil
}

// contentKey names what the engine is built from.
func contentKey(dir string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH, flags, strings.Join(static, " "))
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("read what the engine is built from (run this at the top of the repository): %w", err)
		}
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

func goBuild(ctx context.Context, out, cgo, tags string, packages ...string) error {
	args := []string{"build", "-C", source, "-trimpath", "-tags", tags, "-ldflags", flags, "-o", out + "/"}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", strings.Join(packages, " "), err, text)
	}
	return nil
}

// needSeccomp installs Debian's package of libseccomp's headers where they lack.
func needSeccomp(ctx context.Context, stderr io.Writer) error {
	if exec.CommandContext(ctx, "pkg-config", "--exists", "libseccomp").Run() == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("libseccomp-dev and pkg-config are missing, and installing needs root")
	}
	fmt.Fprintln(stderr, "modern: installing libseccomp-dev pkg-config")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "libseccomp-dev", "pkg-config"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, text)
		}
	}
	return nil
}
