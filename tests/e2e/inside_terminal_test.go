//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// typing is a command in a terminal of the test's own.
type typing struct {
	t        *testing.T
	cmd      *exec.Cmd
	terminal *os.File
	own      *os.File
	before   unix.Termios

	mu   sync.Mutex
	seen strings.Builder
}

// inTerminal starts a command of docker-sd in a terminal with a size.
func (d *daemon) inTerminal(t *testing.T, size pty.Winsize, args ...string) *typing {
	t.Helper()
	terminal, own, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	y := &typing{t: t, cmd: d.program(t, args...), terminal: terminal, own: own}
	y.resize(size)
	y.before = y.settings()
	y.cmd.Stdin, y.cmd.Stdout, y.cmd.Stderr = own, own, own
	y.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := y.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := terminal.Read(buffer)
			y.mu.Lock()
			y.seen.Write(buffer[:n])
			y.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = y.cmd.Process.Kill()
		_, _ = y.cmd.Process.Wait()
		own.Close()
		terminal.Close()
		<-read
	})
	return y
}

func (y *typing) resize(size pty.Winsize) {
	y.t.Helper()
	if err := pty.Setsize(y.terminal, &size); err != nil {
		y.t.Fatal(err)
	}
}

func (y *typing) settings() unix.Termios {
	y.t.Helper()
	seen, err := unix.IoctlGetTermios(int(y.own.Fd()), unix.TCGETS)
	if err != nil {
		y.t.Fatal(err)
	}
	return *seen
}

func (y *typing) text() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.seen.String()
}

func (y *typing) enter(text string) {
	y.t.Helper()
	if _, err := y.terminal.WriteString(text); err != nil {
		y.t.Fatal(err)
	}
}

func (y *typing) wait(text string) {
	y.t.Helper()
	eventually(y.t, runLimit, "the terminal shows "+text, func() bool { return strings.Contains(y.text(), text) }, y.text)
}

// ended waits for the end of the command. The terminal has to be as it was before.
func (y *typing) ended() int {
	y.t.Helper()
	if err := y.cmd.Wait(); y.cmd.ProcessState == nil {
		y.t.Fatal(err)
	}
	if diff := cmp.Diff(y.before, y.settings()); diff != "" {
		y.t.Errorf("the terminal is left in another state (-before +after):\n%s", diff)
	}
	return y.cmd.ProcessState.ExitCode()
}

// TestExecTerminal: its size and each change of it, Ctrl-C, and the exit code.
func TestExecTerminal(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	y := d.inTerminal(t, pty.Winsize{Rows: 33, Cols: 101}, "exec", "-it", string(p.pod.UID), "--", "sh", "-c",
		`until [ "$(stty size)" = "33 101" ]; do usleep 10000; done; echo first-$(stty size)
		until [ "$(stty size)" = "44 202" ]; do usleep 10000; done; echo second-$(stty size); trap 'echo interrupted; exit 23' INT
		echo waiting; while :; do usleep 10000; done`)
	y.wait("first-33 101")
	if diff := cmp.Diff(y.before, y.settings()); diff == "" {
		t.Error("the terminal is not raw while the command runs, so the test shows nothing")
	}
	y.resize(pty.Winsize{Rows: 44, Cols: 202})
	y.wait("second-44 202")
	y.wait("waiting")
	y.enter("\x03")
	y.wait("interrupted")
	if code := y.ended(); code != 23 {
		t.Errorf("exit code %d, want that of the command, 23", code)
	}
}

// TestExecKeys: each key reaches the command at once, those at which the engine would leave a
// terminal too.
func TestExecKeys(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	y := d.inTerminal(t, pty.Winsize{Rows: 24, Cols: 80}, "exec", "-it", string(p.pod.UID), "--", "sh", "-c",
		`stty raw -echo; echo raw; for key in 1 2 3; do head -c 1 | od -An -tx1; done; exit 7`)
	y.wait("raw")
	for _, key := range []string{"\x10", "\x11", "\x1e"} { // ctrl-p, ctrl-q, ctrl-^
		y.enter(key)
		if key != "\x1e" {
			y.wait(fmt.Sprintf("%02x", key[0]))
		}
	}
	y.enter("x") // the first key of the engine's own sequence is kept until the next one
	if code := y.ended(); code != 7 || !strings.Contains(y.text(), "1e") {
		t.Errorf("exit code %d, want 7, after %q", code, y.text())
	}
}

// TestExecGivesTheTerminalBack: in whatever way it ends.
func TestExecGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*daemon, *typing) error{
		"a shell is left": func(_ *daemon, y *typing) error { y.enter("exit 3\n"); return nil },
		"SIGTERM":         func(_ *daemon, y *typing) error { return y.cmd.Process.Signal(unix.SIGTERM) },
		"SIGHUP":          func(_ *daemon, y *typing) error { return y.cmd.Process.Signal(unix.SIGHUP) },
		"SIGQUIT":         func(_ *daemon, y *typing) error { return y.cmd.Process.Signal(unix.SIGQUIT) },
		"SIGINT":          func(_ *daemon, y *typing) error { return y.cmd.Process.Signal(unix.SIGINT) },
		"docker-sd dies":  func(d *daemon, _ *typing) error { return d.kill() },
		"docker-sd stops": func(d *daemon, _ *typing) error { return d.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sharedDaemon(t)
			if strings.HasPrefix(name, "docker-sd") {
				d = ownDaemon(t, 1, nil)
			}
			p := d.standing(t, nil)
			y := d.inTerminal(t, pty.Winsize{Rows: 24, Cols: 80}, "exec", "-it", string(p.pod.UID), "--", "sh")
			y.enter("echo here-$((40+2))\n")
			y.wait("here-42")
			if err := end(d, y); err != nil {
				t.Fatal(err)
			}
			want := 1
			if name == "a shell is left" {
				want = 3
			}
			if code := y.ended(); code != want {
				t.Errorf("exit code %d, want %d; the terminal shows %s", code, want, y.text())
			}
			if !d.Running() {
				if err := d.start(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
