package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

const (
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
	got, err := parseOptions([]string{"-store", "-standby", "--", "--bridge=none", "-x"})
	if err != nil || !got.store || !got.standby || strings.Join(got.engine, " ") != "--bridge=none -x" {
		t.Errorf("parseOptions() = %+v, %v", got, err)
	}
	if got, err := parseOptions([]string{"--", "-store"}); err != nil || got.store || len(got.engine) != 1 {
		t.Errorf("parseOptions() of an engine's argument = %+v, %v", got, err)
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
	if inittest.Isolated(t, 0) {
		pauseUntil(t, unix.SIGTERM)
	}
}

func TestPauseInterrupted(t *testing.T) {
	if inittest.Isolated(t, 0) {
		pauseUntil(t, unix.SIGINT)
	}
}

func pauseUntil(t *testing.T, end syscall.Signal) {
	t.Helper()
	// A signal that comes before pause has asked for it must not end this process.
	ours := make(chan os.Signal, 1)
	signal.Notify(ours, end)
	ended := make(chan error, 1)
	go func() { ended <- pauseUntilSignal() }()
	for range 3 {
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 1"}, &syscall.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		inittest.Poll(t, "an orphan is reaped", func() bool {
			// Again: it may have ended before pause had asked for the signal.
			_ = unix.Kill(os.Getpid(), unix.SIGCHLD)
			return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		})
	}
	inittest.Poll(t, "pause ends", func() bool {
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
