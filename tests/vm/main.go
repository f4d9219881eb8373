// Command vm boots a virtual machine with systemd, control groups of version 2 and
// AppArmor, installs this build's Debian package in it and runs checks there:
//
//	go run ./tests/lab -- go run ./tests/vm [-keep] [-run PATTERN] [-engine modern] [-pods N]
//
// It needs root, what "make package" has put into bin, and the variables and the
// engine that tests/lab gives. Debian's packages are all that it fetches; where
// there is no /dev/kvm the machine is emulated. The installed system is kept in
// DOCKER_SD_VM_DIR (/var/tmp/docker-sd-vm) for the next run, which boots it from a
// copy of its disk. It prints a line for each check, and ends with 1 when one of them
// failed. With -engine modern the machine has the engine of tests/modern and the containerd
// image store, and the sandbox image has to have that engine too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/modern/programs"
)

// share is what the machine and this program have in common, a folder.
type share struct{ dir string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	options := flag.NewFlagSet("vm", flag.ContinueOnError)
	keep := options.Bool("keep", false, "leave the machine running after the checks, until an interrupt")
	pattern := options.String("run", "", "a regular expression for the names of checks to run")
	engine := options.String("engine", "debian", "the machine's engine: debian, which is Debian's, or modern, the one of tests/modern with the containerd image store")
	pods := options.Int("pods", 20, "how many pods are created at once")
	limit := options.Duration("timeout", 2*time.Hour, "time for all of it")
	if err := options.Parse(args); err != nil {
		return err
	}
	if *engine != debian && *engine != modern {
		return fmt.Errorf("-engine %s is neither debian nor modern", *engine)
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if os.Geteuid() != 0 {
		return errors.New("installing a system into a folder needs root")
	}
	dir := os.Getenv("DOCKER_SD_VM_DIR")
	if dir == "" {
		dir = "/var/tmp/docker-sd-vm"
	}
	if err := install(ctx); err != nil {
		return err
	}
	s := system{dir: dir}
	if err := s.make(ctx); err != nil {
		return err
	}
	files := share{dir: filepath.Join(dir, "share")}
	if err := files.fill(ctx, *engine, fmt.Sprintf("PATTERN=%s\nPODS=%d\nENGINE=%s\n", *pattern, *pods, *engine)); err != nil {
		return err
	}
	m := machine{system: s, share: files, keep: *keep}
	return m.run(ctx)
}

// The engines of the machine.
const (
	debian = "debian"
	modern = "modern"
)

// fill puts into the folder what the checks need: environment is a part of what they read.
func (s share) fill(ctx context.Context, engine, environment string) error {
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	packages, err := filepath.Glob("bin/docker-sd_*.deb")
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("bin has %d Debian packages: run make package", len(packages))
	}
	if err := command(ctx, nil, "cp", packages[0], filepath.Join(s.dir, "docker-sd.deb")); err != nil {
		return err
	}
	if err := command(ctx, []string{"CGO_ENABLED=0"}, "go", "build", "-o", filepath.Join(s.dir, "guest"), "./tests/vm/guest"); err != nil {
		return err
	}
	if engine == modern {
		bin, err := programs.Build(ctx, programs.Dir(), os.Stderr)
		if err != nil {
			return err
		}
		if err := command(ctx, nil, "cp", "-r", bin, filepath.Join(s.dir, "engine")); err != nil {
			return err
		}
	}
	images := []string{}
	for _, name := range []string{"SANDBOX", "BUSYBOX", "BASH"} {
		image := os.Getenv("DOCKER_SD_TEST_" + name)
		if image == "" {
			return fmt.Errorf("DOCKER_SD_TEST_%s is not set: run it by tests/lab, as make vm does", name)
		}
		images = append(images, image)
		environment += name + "=" + image + "\n"
	}
	if err := os.WriteFile(filepath.Join(s.dir, "environment"), []byte(environment), 0o644); err != nil {
		return err
	}
	return command(ctx, nil, "docker", append([]string{"save", "-o", filepath.Join(s.dir, "images.tar")}, images...)...)
}

// command runs a program that says something only when it fails.
func command(ctx context.Context, environment []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, last(out, 2000))
	}
	return nil
}

func last(out []byte, n int) []byte { return out[max(0, len(out)-n):] }
