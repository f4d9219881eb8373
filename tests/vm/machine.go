package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// machine runs a system, with a folder in it.
type machine struct {
	system system
	share  share
	keep   bool
}

// endLine is the last line of the guest.
const endLine = "checks: "

// run boots the machine, prints what its checks say, and ends it. The machine ends
// itself after the checks unless it is kept.
func (m machine) run(ctx context.Context) error {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5", "qemu-system-x86_64"}, m.arguments()...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.Env = append(os.Environ(), "TMPDIR="+m.system.dir) // where the changes of the disk go
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "vm: booting; the console is in %s, a shell at the socket %s\n", m.console(), m.shell())
	verdict := m.follow(out)
	if m.keep {
		fmt.Fprintln(os.Stderr, "vm: the machine stays until an interrupt")
	}
	_, _ = io.Copy(os.Stdout, out) // it ends with the machine
	ended := cmd.Wait()
	if m.keep && ctx.Err() != nil {
		ended = nil
	}
	fmt.Fprintf(os.Stderr, "vm: ended after %s\n", time.Since(began).Round(time.Second))
	return errors.Join(verdict, ended)
}

func (m machine) console() string { return filepath.Join(m.system.dir, "console.log") }
func (m machine) shell() string   { return filepath.Join(m.system.dir, "shell.sock") }

// arguments of qemu: the first serial port is the console, the second has the
// results, the third a shell.
func (m machine) arguments() []string {
	accelerator, processor := "tcg,thread=multi", "max"
	if accelerated() {
		// A machine in a machine may not be given this register.
		accelerator, processor = "kvm", "host,-arch-capabilities"
	}
	arguments := []string{
		"-accel", accelerator, "-cpu", processor, "-smp", "2", "-m", "2048", "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
		"-kernel", filepath.Join(m.system.root(), "vmlinuz"), "-initrd", filepath.Join(m.system.root(), "initrd.img"),
		"-append", "root=/dev/vda rw console=ttyS0 mitigations=off loglevel=5 panic=10",
		"-drive", "file=" + m.system.disk() + ",format=raw,if=virtio,cache=unsafe,snapshot=on",
		"-virtfs", "local,path=" + m.share.dir + ",mount_tag=share,security_model=none",
		"-serial", "file:" + m.console(), "-serial", "stdio", "-serial", "unix:" + m.shell() + ",server=on,wait=off",
	}
	if m.keep {
		// The guest asks for it with this file.
		if err := os.WriteFile(filepath.Join(m.share.dir, "keep"), nil, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "vm:", err)
		}
	}
	return arguments
}

// accelerated says whether KVM works: some hosts have its device, and a processor
// whose extensions are not theirs to use, and a machine there does not get far.
func accelerated() bool {
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = file.Close() // it was only tried
	processor, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && regexp.MustCompile(`(?m)^flags\s*:.* (vmx|svm)( |$)`).Match(processor)
}

// follow prints the results until the last one.
func (m machine) follow(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		fmt.Println(line)
		result, last := strings.CutPrefix(line, endLine)
		switch {
		case !last:
		case result == "all ok":
			return nil
		default:
			return errors.New("in the machine: " + result)
		}
	}
	return errors.Join(errors.New("the machine ended before its checks did: see "+m.console()), lines.Err())
}
