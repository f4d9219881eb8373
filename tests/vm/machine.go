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

const (
	// endLine is the last line of the guest.
	endLine = "checks: "
	// cutLine and rebootLine ask for another boot from the same disk: after a loss of power,
	// which this program makes, and after a reboot, which is the guest's.
	cutLine, rebootLine = "machine: power cut", "machine: reboot"
)

// errAgain is of a machine that has ended and is to be booted again.
var errAgain = errors.New("the machine is to be booted again")

// run boots the machine, prints what its checks say, and ends it. The machine ends
// itself after the checks unless it is kept.
func (m machine) run(ctx context.Context) error {
	began := time.Now()
	if err := errors.Join(os.RemoveAll(m.console()), m.system.copyDisk(ctx)); err != nil {
		return err
	}
	defer os.Remove(m.system.used())
	fmt.Fprintf(os.Stderr, "vm: booting; the console is in %s, a shell at the socket %s\n", m.console(), m.shell())
	err := m.boot(ctx)
	for errors.Is(err, errAgain) && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "vm: booting again after", time.Since(began).Round(time.Second))
		err = m.boot(ctx)
	}
	fmt.Fprintf(os.Stderr, "vm: ended after %s\n", time.Since(began).Round(time.Second))
	return err
}

// boot runs the machine until it ends.
func (m machine) boot(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5", "qemu-system-x86_64"}, m.arguments()...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	verdict := m.follow(out, cmd.Process)
	if m.keep && !errors.Is(verdict, errAgain) {
		fmt.Fprintln(os.Stderr, "vm: the machine stays until an interrupt")
	}
	_, _ = io.Copy(os.Stdout, out) // it ends with the machine
	ended := cmd.Wait()
	if errors.Is(verdict, errAgain) || m.keep && ctx.Err() != nil {
		ended = nil // it was killed
	}
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
		"-accel", accelerator, "-cpu", processor, "-smp", "2", "-m", "4096", "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
		"-kernel", filepath.Join(m.system.root(), "vmlinuz"), "-initrd", filepath.Join(m.system.root(), "initrd.img"),
		"-append", "root=/dev/vda rw console=ttyS0 mitigations=off loglevel=5 panic=10",
		"-drive", "file=" + m.system.used() + ",format=raw,if=virtio,cache=unsafe",
		"-virtfs", "local,path=" + m.share.dir + ",mount_tag=share,security_model=none",
		"-chardev", "file,id=console,append=on,path=" + m.console(), "-serial", "chardev:console", "-serial", "stdio", "-serial", "unix:" + m.shell() + ",server=on,wait=off",
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

// follow prints the results until the last one. The process is the machine.
func (m machine) follow(out io.Reader, process *os.Process) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		fmt.Println(line)
		result, last := strings.CutPrefix(line, endLine)
		switch {
		case line == cutLine:
			return errors.Join(errAgain, process.Kill())
		case line == rebootLine:
			return errAgain
		case !last:
		case result == "all ok":
			return nil
		default:
			return errors.New("in the machine: " + result)
		}
	}
	return errors.Join(errors.New("the machine ended before its checks did: see "+m.console()), lines.Err())
}
