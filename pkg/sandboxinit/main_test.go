package sandboxinit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// isolatedTest names the test that this process runs by itself.
	isolatedTest = "SANDBOXINIT_ISOLATED"
	// runProgram has the test's binary be the init.
	runProgram = "SANDBOXINIT_PROGRAM"
)

func TestMain(m *testing.M) {
	if os.Getenv(actTunnel) != "" {
		os.Exit(standInTunnel())
	}
	if os.Getenv(runProgram) != "" {
		os.Exit(Main(os.Args))
	}
	m.Run()
}

// isolated runs a test again in a process and a mount namespace of its own, where /run
// is empty and nothing that is mounted reaches the host. It is true in that process.
func isolated(t *testing.T, flags uintptr) bool {
	t.Helper()
	if os.Getenv(isolatedTest) == t.Name() {
		for _, err := range []error{unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	command := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	command.Env = append(os.Environ(), isolatedTest+"="+t.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | flags, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := command.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")) {
		t.Errorf("in namespaces of its own: %v\n%s", err, out)
	}
	return false
}

// poll waits for a condition.
func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

// program is the init as a process.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	command.Env = append(os.Environ(), runProgram+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return command
}

func TestCommands(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string // "" is success
	}{
		"true":           {[]string{"true"}, ""},
		"none":           {nil, "a command is missing"},
		"unknown":        {[]string{"ls"}, `the command "ls" is not known`},
		"an odd flag":    {[]string{"up", "-x"}, "flag provided but not defined"},
		"no engine":      {[]string{"engine"}, "the engine's command is missing"},
		"missing engine": {[]string{"engine", "no-such-dockerd"}, "the sandbox image has no no-such-dockerd: set SandboxImage"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := program(t, c.args...).CombinedOutput()
			if (err == nil) != (c.want == "") || !strings.Contains(string(out), c.want) {
				t.Errorf("%q ended with %v: %s", c.args, err, out)
			}
		})
	}
}

func TestParse(t *testing.T) {
	got, err := parse([]string{"-store", "-standby", "--", "--bridge=none", "-x"})
	if err != nil || !got.store || !got.standby || strings.Join(got.engine, " ") != "--bridge=none -x" {
		t.Errorf("parse() = %+v, %v", got, err)
	}
	if got, err := parse([]string{"--", "-store"}); err != nil || got.store || len(got.engine) != 1 {
		t.Errorf("parse() of an engine's argument = %+v, %v", got, err)
	}
}

// TestBecomeEngine: the engine is told of the socket that it inherits, as its own.
func TestBecomeEngine(t *testing.T) {
	command := program(t, "engine", "sh", "-c", `echo $LISTEN_FDS $LISTEN_PID $$`)
	out, err := command.Output()
	if want := fmt.Sprintf("1 %d %d\n", command.Process.Pid, command.Process.Pid); err != nil || string(out) != want {
		t.Errorf("the engine saw %q, %v, want %q", out, err, want)
	}
}

// TestPause: it reaps what ends, and ends with SIGTERM or SIGINT.
func TestPause(t *testing.T) {
	if isolated(t, 0) {
		pauseUntil(t, unix.SIGTERM)
	}
}

func TestPauseInterrupted(t *testing.T) {
	if isolated(t, 0) {
		pauseUntil(t, unix.SIGINT)
	}
}

func pauseUntil(t *testing.T, end syscall.Signal) {
	t.Helper()
	// A signal that comes before pause has asked for it must not end this process.
	ours := make(chan os.Signal, 1)
	signal.Notify(ours, end)
	ended := make(chan error, 1)
	go func() { ended <- pause() }()
	for range 3 {
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 1"}, &syscall.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		poll(t, "an orphan is reaped", func() bool {
			// Again: it may have ended before pause had asked for the signal.
			_ = unix.Kill(os.Getpid(), unix.SIGCHLD)
			return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		})
	}
	poll(t, "pause ends", func() bool {
		_ = unix.Kill(os.Getpid(), end)
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			return true
		default:
			return false
		}
	})
}
