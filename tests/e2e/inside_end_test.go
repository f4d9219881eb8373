//go:build e2e

package e2e_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// marks counts the processes of a pod whose arguments have a word, as the pod sees them.
func (p *podRun) marks(word string) int {
	p.t.Helper()
	n := 0
	for line := range strings.Lines(p.inside("main", "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f 2>/dev/null; echo; done")) {
		// Not the processes that look.
		if strings.Contains(line, word) && !strings.Contains(line, "/proc/[0-9]") {
			n++
		}
	}
	return n
}

// TestExecEndsWithItsCaller: nothing of the command is left when its caller was killed, or
// docker-sd ends, and nothing else is touched.
func TestExecEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	endless := func(word string) string {
		return "sleep " + word + " & setsid sleep " + word + " & sh -c 'sleep " + word + "; true' & sleep " + word + "; true"
	}
	for name, c := range map[string]struct {
		word string
		args []string
		// stdin is one that never ends and is not read.
		stdin bool
		end   func(*daemon, *exec.Cmd) error
	}{
		"killed":        {word: "100001", end: func(_ *daemon, cmd *exec.Cmd) error { return cmd.Process.Kill() }},
		"interrupted":   {word: "100002", end: func(_ *daemon, cmd *exec.Cmd) error { return cmd.Process.Signal(unix.SIGINT) }},
		"blocked input": {word: "100003", args: []string{"-i"}, stdin: true, end: func(_ *daemon, cmd *exec.Cmd) error { return cmd.Process.Kill() }},
		"docker-sd stops": {word: "100004", end: func(d *daemon, _ *exec.Cmd) error {
			if err := d.stop(); err != nil {
				return err
			}
			return d.start()
		}},
		"docker-sd dies": {word: "100008", end: func(d *daemon, _ *exec.Cmd) error {
			if err := d.kill(); err != nil {
				return err
			}
			return d.start()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sharedDaemon(t)
			alone := strings.HasPrefix(name, "docker-sd")
			if alone {
				d = ownDaemon(t, 1, nil)
			}
			p := d.standing(t, nil)
			const other = "100000"
			stays := d.program(t, "exec", string(p.pod.UID), "--", "sh", "-c", endless(other))
			cmd := d.program(t, append(append([]string{"exec", string(p.pod.UID)}, c.args...), "--", "sh", "-c", endless(c.word))...)
			if c.stdin {
				zero, err := os.Open("/dev/zero")
				if err != nil {
					t.Fatal(err)
				}
				defer zero.Close()
				cmd.Stdin = zero
			}
			for _, started := range []*exec.Cmd{stays, cmd} {
				if err := started.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = started.Process.Kill(); _ = started.Wait() }()
			}
			// The leader, four that sleep and the shell of one of them.
			for _, word := range []string{c.word, other} {
				eventually(t, runLimit, "all processes of a command run", func() bool { return p.marks(word) == 6 }, nil)
			}
			if err := c.end(d, cmd); err != nil {
				t.Fatal(err)
			}
			eventually(t, runLimit, "docker-sd knows its pods", func() bool { _, err := d.operator(t).Pods(t.Context()); return err == nil }, nil)
			eventually(t, runLimit, "none of the command's processes is left", func() bool { return p.marks(c.word) == 0 }, nil)
			if n := p.marks(other); !alone && n != 6 {
				t.Errorf("%d processes of another command are left, want 6", n)
			}
			p.waitRunning()
		})
	}
}

// TestExecOfClosedOutput: a command that closes its output runs on, and is waited for; it ends
// with its caller.
func TestExecOfClosedOutput(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	const closed = "exec >/dev/null 2>&1 </dev/null; touch /closed; "
	if _, _, code := d.command(t, "exec", string(p.pod.UID), "--", "sh", "-c", closed+"sleep 3; exit 9"); code != 9 {
		t.Errorf("exit code %d, want that of the command, 9", code)
	}
	p.inside("main", "rm /closed")
	cmd := d.program(t, "exec", string(p.pod.UID), "--", "sh", "-c", closed+"while :; do sleep 0.1; done", "100008")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	eventually(t, runLimit, "the command has closed its output", func() bool { return p.inside("main", "test -e /closed && echo yes || echo no") == "yes\n" }, nil)
	if p.marks("100008") == 0 {
		t.Error("the command does not run on")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the command is gone", func() bool { return p.marks("100008") == 0 }, nil)
}

// TestExecEndsWhatHasNoLeader: a command has ended and what it left writes on; that ends soon,
// with the caller at the latest.
func TestExecEndsWhatHasNoLeader(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	cmd := d.program(t, "exec", string(p.pod.UID), "--", "sh", "-c", "sh -c 'while kill -0 $1 2>/dev/null; do sleep 0.01; done; touch /orphan; while :; do echo; sleep 0.1; done' 100006 $$ & exit 0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	eventually(t, runLimit, "what it left is alone", func() bool { return p.inside("main", "test -e /orphan && echo yes || echo no") == "yes\n" }, nil)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "what it left is gone", func() bool { return p.marks("100006") == 0 }, nil)
}

// TestExecLeavesNothing: what a command has left in the background ends with it, and its
// exit code does not wait for that.
func TestExecLeavesNothing(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	cmd := d.program(t, "exec", string(p.pod.UID), "--", "sh", "-c", "sleep 100005 & echo $!; exit 4")
	out, err := cmd.Output()
	if ended, ok := errors.AsType[*exec.ExitError](err); !ok || ended.ExitCode() != 4 {
		t.Fatalf("it ended with %v, want exit code 4", err)
	}
	if strings.TrimSpace(string(out)) == "" {
		t.Fatal("the command has not said what it started")
	}
	eventually(t, runLimit, "what it left is gone", func() bool { return p.marks("100005") == 0 }, nil)
}
