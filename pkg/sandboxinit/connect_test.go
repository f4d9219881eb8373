package sandboxinit

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// client asks a server over a socket until the test ends.
func client(t *testing.T) *initapi.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "init") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, initapi.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	s := &server{}
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.answer(conn) })
		}
	})
	return initapi.NewClient(dir)
}

// listenAt serves one connection: it answers what it has read to the end.
func listenAt(t *testing.T, address string) (port uint16) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(conn, strings.ToUpper(string(text)))
	})
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

// TestConnect: to a server at either loopback address, whose answer comes after the end of
// the question.
func TestConnect(t *testing.T) {
	addresses := map[string]string{"IPv4": "127.0.0.1:0", "all addresses": ":0"}
	if own, err := os.ReadFile("/proc/net/if_inet6"); err == nil && strings.Contains(string(own), " lo\n") {
		addresses["IPv6"] = "[::1]:0"
	}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) {
			conn, err := client(t).Connect(t.Context(), listenAt(t, address))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "question"); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(conn); err != nil || string(text) != "QUESTION" {
				t.Errorf("the answer is %q, %v", text, err)
			}
		})
	}
}

// TestConnectFails where nothing listens, or no port is named.
func TestConnectFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	listener.Close()
	if _, err := client(t).Connect(t.Context(), port); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Connect() where nothing listens = %v", err)
	}
	if _, err := client(t).Connect(t.Context(), 0); !errdefs.IsNotImplemented(err) {
		t.Errorf("Connect() to no port = %v", err)
	}
	if _, err := initapi.NewClient(t.TempDir()).Connect(t.Context(), port); !errdefs.IsUnavailable(err) {
		t.Errorf("Connect() without an init = %v", err)
	}
}

// TestEndSession: what a leader has left is killed once it has ended, and not before. A
// process that has its id by now is left alone with its session.
func TestEndSession(t *testing.T) {
	init := client(t)
	ended := session(t, "sleep 1000 & sh -c 'sleep 1000; true' &")
	if err := ended.Wait(); err != nil {
		t.Fatal(err)
	}
	lives := session(t, "sleep 1000 & sleep 1000; true")
	inittest.Poll(t, "both sessions have begun", func() bool {
		return members(t, ended.Process.Pid) >= 3 && members(t, lives.Process.Pid) == 3
	})
	for _, leader := range []int{ended.Process.Pid, lives.Process.Pid} {
		if err := init.EndSession(t.Context(), leader); err != nil {
			t.Error(err)
		}
	}
	inittest.Poll(t, "what the leader left has ended", func() bool { return members(t, ended.Process.Pid) == 0 })
	if n := members(t, lives.Process.Pid); n != 3 {
		t.Errorf("%d processes are left of a session whose leader lives, want 3", n)
	}
	if err := unix.Kill(lives.Process.Pid, 0); err != nil {
		t.Error(err)
	}
}

// TestHold: a session ends with the connection that holds it, whether its leader lives or has
// ended, and no other one does.
func TestHold(t *testing.T) {
	init := client(t)
	other := session(t, "sleep 1000 & sleep 1000; true")
	for name, script := range map[string]string{"its leader lives": "sleep 1000 & sleep 1000; true", "its leader ends": "sleep 1000 & sleep 1000 & sleep 1000 & read x"} {
		t.Run(name, func(t *testing.T) {
			input, output, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer input.Close()
			held := sessionWith(t, script, input)
			inittest.Poll(t, "the session begins", func() bool { return members(t, held.Process.Pid) >= 3 })
			kept, err := init.Hold(t.Context(), held.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			defer kept.Close()
			output.Close() // which ends the leader that reads
			if name == "its leader ends" {
				_ = held.Wait() // read finds nothing
			}
			if n := members(t, held.Process.Pid); n < 3 {
				t.Fatalf("%d processes are left before the connection ends", n)
			}
			kept.Close()
			inittest.Poll(t, "the session has ended", func() bool { return members(t, held.Process.Pid) == 0 })
		})
	}
	if n := members(t, other.Process.Pid); n != 3 {
		t.Errorf("%d processes of another session are left, want 3", n)
	}
	ended := session(t, "true")
	if err := ended.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := init.Hold(t.Context(), ended.Process.Pid); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Hold() of a process that has ended = %v", err)
	}
}
