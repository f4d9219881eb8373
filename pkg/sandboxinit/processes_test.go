package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// TestChildren: each end is told to whoever waits for it, and orphans are reaped.
func TestChildren(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	// As the first process of a sandbox is for all in it.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	c := newChildren()
	dir := t.TempDir()
	for i := range 20 {
		pid, ended, err := c.start([]string{"sh", "-c", "exit " + strconv.Itoa(i)})
		if err != nil {
			t.Fatal(err)
		}
		if status := <-ended; status.ExitStatus() != i {
			t.Errorf("process %d ended with %d, want %d", pid, status.ExitStatus(), i)
		}
	}
	if err := unix.Mkfifo(dir+"/go", 0o600); err != nil {
		t.Fatal(err)
	}
	_, ended, err := c.start([]string{"sh", "-c", "sh -c 'echo $$ > " + dir + "/tmp; mv " + dir + "/tmp " + dir + "/orphan; read x < " + dir + "/go' & exit 0"})
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	var orphan int
	inittest.Poll(t, "an orphan begins", func() bool {
		text, err := os.ReadFile(dir + "/orphan")
		orphan, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	if err := os.WriteFile(dir+"/go", []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	inittest.Poll(t, "an orphan is reaped", func() bool { return errors.Is(unix.Kill(orphan, 0), unix.ESRCH) })
	if _, _, err := c.start([]string{"no-such-program"}); err == nil || !strings.Contains(err.Error(), "the sandbox image has no no-such-program") {
		t.Errorf("start() = %v", err)
	}
	// Descriptors come from 3 on, and the process leads a session.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pid, ended, err := c.start([]string{"sh", "-c", "cut -d ' ' -f 6 /proc/$$/stat >&3"}, w.Fd())
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	said := make([]byte, 100)
	n, err := r.Read(said)
	if strings.TrimSpace(string(said[:n])) != strconv.Itoa(pid) {
		t.Errorf("process %d is of session %q, %v", pid, said[:n], err)
	}
}

// TestKeep: what ends is started again, until it is to end.
func TestKeep(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	c := newChildren()
	over, began, done := make(chan struct{}), make(chan int, 10), make(chan struct{})
	go func() {
		defer close(done)
		c.keep(over, []string{"sh", "-c", "[ -e /run/stay ] && exec sleep 1000"}, func(pid int) { began <- pid })
	}()
	first, last := <-began, <-began
	if first == last {
		t.Errorf("process %d began twice", first)
	}
	inittest.Put(t, "/run/stay", "")
	inittest.Poll(t, "one stays", func() bool {
		select {
		case last = <-began:
		default:
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", last))
		return err == nil && string(name) == "sleep\n"
	})
	close(over)
	p := &process{}
	p.signal(unix.SIGTERM) // it is not known yet
	p.set(last)
	<-done
	if len(began) > 0 {
		t.Error("it was started again")
	}
}

// session starts a shell that leads a session of its own.
func session(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	return sessionWith(t, script, nil)
}

// sessionWith is session for a shell that reads a file.
func sessionWith(t *testing.T, script string, stdin *os.File) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", "-c", script)
	if stdin != nil {
		command.Stdin = stdin
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(-command.Process.Pid, unix.SIGKILL); _ = command.Wait() })
	return command
}

func members(t *testing.T, leader int) int {
	t.Helper()
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		if p.session == leader && p.state != "Z" {
			n++
		}
	}
	return n
}

// TestKillSession: all of it, those of other process groups and sessions that it has
// started too, and nothing else.
func TestKillSession(t *testing.T) {
	away := t.TempDir() + "/away"
	killed := session(t, "set -m; sleep 1000 & sh -c 'sleep 1000; true' & setsid sh -c 'echo $$ >"+away+"; sleep 1000 & sleep 1000' & sleep 1000")
	other := session(t, "sleep 1000 & sleep 1000; true")
	for _, c := range []struct {
		leader *exec.Cmd
		size   int
	}{{killed, 5}, {other, 3}} {
		inittest.Poll(t, "a session begins", func() bool { return members(t, c.leader.Process.Pid) >= c.size })
	}
	var leader int
	inittest.Poll(t, "a session of its own begins", func() bool {
		text, _ := os.ReadFile(away)
		leader, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return leader > 0 && members(t, leader) == 3
	})
	if err := killSession(killed.Process.Pid); err != nil {
		t.Fatal(err)
	}
	inittest.Poll(t, "a session that was started from it has ended", func() bool { return members(t, leader) == 0 })
	inittest.Poll(t, "the session has ended", func() bool { return members(t, killed.Process.Pid) == 0 })
	if n := members(t, other.Process.Pid); n != 3 {
		t.Errorf("%d processes of another session are left, want 3", n)
	}
	if err := killed.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the leader ended with %v", err)
	}
	if err := killSession(killed.Process.Pid); err != nil {
		t.Errorf("killing a session that has ended: %v", err)
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	inittest.Put(t, filepath.Join(dir, "plain"), "")
	inittest.Put(t, filepath.Join(dir, "b/tool"), "")
	inittest.Folder(t, dir, "a/tool") // a folder of the name is no program
	if err := os.Chmod(filepath.Join(dir, "b/tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+dir+"/a:"+dir+"/b")
	for name, want := range map[string]string{"tool": dir + "/b/tool", "./x": "./x", "/a/b": "/a/b", "plain": "", "no-such-program": ""} {
		if got, err := lookPath(name); got != want || (err == nil) != (want != "") {
			t.Errorf("lookPath(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	// Where PATH is not set, as in an image without one.
	t.Setenv("PATH", "")
	if got, err := lookPath("sh"); err != nil || !strings.HasSuffix(got, "/bin/sh") {
		t.Errorf("lookPath() without PATH = %q, %v", got, err)
	}
}
