package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killAfter is what a command has to end itself after a signal.
const killAfter = 30 * time.Second

// start starts a command and returns a channel that delivers the result of its
// Wait. One thread is locked for as long as the command runs, because the kernel
// sends Pdeathsig when the thread that forked ends, not the process.
func start(cmd *exec.Cmd) (<-chan error, error) {
	started := make(chan error, 1)
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}

// endWithGoRun makes this process get SIGTERM when a parent "go run" is killed,
// since the go command passes no signals on. The calling thread must live as
// long as the process.
func endWithGoRun() error {
	parent := os.Getppid()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil || strings.TrimSpace(string(name)) != "go" {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("follow the end of go run: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("go run has ended")
	}
	return nil
}

// runCommand runs a command with this process's standard streams, passes signals
// on to it, and returns its exit code, 128 plus the number for a signal.
//
// Without a terminal the command gets a process group of its own, which receives
// the signals and is ended with the command, for its children use the engine
// that stops next. On a terminal it stays in the foreground group, to which the
// terminal itself sends SIGINT.
func runCommand(argv, environ []string, signals <-chan os.Signal) (int, error) {
	_, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS)
	terminal := err == nil
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !terminal, Pdeathsig: syscall.SIGTERM}
	ended, err := start(cmd)
	if err != nil {
		return 0, fmt.Errorf("start the command: %w", err)
	}
	target := cmd.Process.Pid
	if !terminal {
		target = -target
	}
	var overdue <-chan time.Time
	for {
		select {
		case err := <-ended:
			if !terminal {
				_ = unix.Kill(target, unix.SIGKILL)
			}
			return exitCode(cmd.ProcessState, err)
		case s := <-signals:
			if number, ok := s.(syscall.Signal); ok && !(terminal && number == syscall.SIGINT) {
				_ = unix.Kill(target, number)
			}
			if overdue == nil {
				overdue = time.After(killAfter)
			}
		case <-overdue:
			_ = unix.Kill(target, unix.SIGKILL)
		}
	}
}

// exitCode returns the code that a shell would report.
func exitCode(state *os.ProcessState, waitErr error) (int, error) {
	var exit *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &exit) {
		return 0, fmt.Errorf("wait for the command: %w", waitErr)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
}
