package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// needed are programs of this machine, and the Debian packages that have them.
var needed = map[string]string{"qemu-system-x86_64": "qemu-system-x86", "debootstrap": "debootstrap", "mkfs.ext4": "e2fsprogs"}

// contents are the Debian packages of the system.
var contents = []string{"systemd", "systemd-sysv", "udev", "dbus", "apparmor", "docker.io", "iptables", "busybox-static", "linux-image-amd64",
	"initramfs-tools", "zstd", "kmod", "procps", "iproute2", "nfs-ganesha", "nfs-ganesha-vfs", "openssl"}

const (
	release = "bookworm"
	// diskSize of the system's disk, of which only what is written takes space.
	diskSize = "5G"
)

// files of the system beside its packages. The initial file system has no more
// drivers than the machine: an emulated one takes long to unpack it.
var files = map[string]string{
	"etc/hostname":                      "docker-sd-vm\n",
	"etc/fstab":                         "/dev/vda / ext4 rw 0 1\n",
	"etc/initramfs-tools/conf.d/vm":     "MODULES=list\n",
	"etc/initramfs-tools/modules":       "virtio_pci\nvirtio_blk\next4\n",
	"etc/modules-load.d/vm.conf":        "9pnet_virtio\n9p\noverlay\n",
	"etc/systemd/system.conf.d/vm.conf": "[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n", // an emulated machine is slow
	"etc/systemd/system/share.mount":    "[Mount]\nWhat=share\nWhere=/share\nType=9p\nOptions=trans=virtio,version=9p2000.L,msize=262144\n",
	"etc/systemd/system/guest.service":  "[Unit]\nRequires=share.mount\nAfter=share.mount docker.service\n" + consoleUnit("/share/guest", "ttyS1", "no"),
	"etc/systemd/system/shell.service":  consoleUnit("/bin/bash -i", "ttyS2", "always"),
}

// consoleUnit is a service at a serial port, which no limit on a start bounds.
func consoleUnit(program, port, restart string) string {
	return "[Service]\nExecStart=" + program + "\nEnvironment=HOME=/root TERM=dumb\nWorkingDirectory=/root\nRestart=" + restart +
		"\nStandardInput=tty-force\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/" + port + "\nTTYReset=no\n" +
		"\n[Install]\nWantedBy=multi-user.target\n"
}

// system is an installed Debian in a folder and on a disk.
type system struct{ dir string }

func (s system) root() string { return filepath.Join(s.dir, "root") }
func (s system) disk() string { return filepath.Join(s.dir, "disk.img") }

// used is the copy of the disk that a machine runs from.
func (s system) used() string { return filepath.Join(s.dir, "used.img") }

func (s system) copyDisk(ctx context.Context) error {
	return command(ctx, nil, "cp", "--sparse=always", "--reflink=auto", s.disk(), s.used())
}

// install brings the programs.
func install(ctx context.Context) error {
	var missing []string
	for program, debian := range needed {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, debian)
		}
	}
	// Where it is missing, debootstrap does not look at signatures.
	if _, err := os.Stat("/usr/share/keyrings/debian-archive-keyring.gpg"); err != nil {
		missing = append(missing, "debian-archive-keyring")
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintln(os.Stderr, "vm: installing", strings.Join(missing, " "))
	quiet := []string{"DEBIAN_FRONTEND=noninteractive"}
	return errors.Join(command(ctx, quiet, "apt-get", "update"),
		command(ctx, quiet, "apt-get", append([]string{"install", "-y", "--no-install-recommends"}, missing...)...))
}

// digest of what something is made from.
func digest(from ...any) string {
	sum := sha256.Sum256(fmt.Appendln(nil, from...)) // maps are printed in order
	return hex.EncodeToString(sum[:])
}

// once does a step unless an earlier run has done the same one.
func (s system) once(name, from string, step func() error) error {
	mark := filepath.Join(s.dir, name)
	if done, err := os.ReadFile(mark); err == nil && string(done) == from {
		return nil
	}
	if err := errors.Join(os.RemoveAll(mark), step()); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(from), 0o600)
}

// make installs the system and makes its disk.
func (s system) make(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	packages := digest(release, contents)
	err := s.once("installed", packages, func() error {
		fmt.Fprintln(os.Stderr, "vm: installing the machine's system, once, in", s.dir)
		if err := os.RemoveAll(s.root()); err != nil {
			return err
		}
		return command(ctx, nil, "nice", "-n", "5", "debootstrap", "--variant=minbase", "--include="+strings.Join(contents, ","), release, s.root())
	})
	if err != nil {
		return err
	}
	return s.once("configured", digest(packages, files, diskSize), func() error { return s.configure(ctx) })
}

// configure writes the files and makes the disk.
func (s system) configure(ctx context.Context) error {
	for name, text := range files {
		path := filepath.Join(s.root(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	inside := func(name string, args ...string) error {
		return command(ctx, nil, "chroot", append([]string{s.root(), name}, args...)...)
	}
	for _, step := range [][]string{
		{"systemctl", "enable", "guest.service", "shell.service"},
		{"update-initramfs", "-u"},
		{"apt-get", "clean"},
	} {
		if err := inside(step[0], step[1:]...); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(s.root(), "etc/machine-id"), nil, 0o444); err != nil {
		return err
	}
	return command(ctx, nil, "mkfs.ext4", "-q", "-F", "-d", s.root(), s.disk(), diskSize)
}
