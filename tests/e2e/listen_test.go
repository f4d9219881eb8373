//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	"golang.org/x/sys/unix"
)

// failsToStart launches the daemon and wants exit code 1 with one line that
// contains the words.
func (d *daemon) failsToStart(t *testing.T, words ...string) {
	t.Helper()
	from := len(d.log.String())
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.Ended():
	case <-time.After(runLimit):
		t.Fatalf("docker-sd runs although it must not: %s", d.log.Tail(20))
	}
	if ended, ok := errors.AsType[*exec.ExitError](d.Err()); !ok || ended.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit code 1", d.Err())
	}
	said := strings.TrimSpace(d.log.String()[from:])
	if strings.Contains(said, "\n") {
		t.Errorf("more than one line: %s", said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("%q does not say %q", said, word)
		}
	}
}

func TestSocketIsPrivate(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	info, err := os.Stat(d.socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode of the socket = %s", info.Mode())
	}
	if info, err = os.Stat(d.data()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of DataRootFolder = %v, %v", info, err)
	}
}

// TestSocketGroup: an API server that runs as another user can call docker-sd where its group
// is named, and not by default.
func TestSocketGroup(t *testing.T) {
	t.Parallel()
	const user, group, stranger = 64001, 64002, 64003
	for name, test := range map[string]struct {
		settings map[string]any
		want     map[int]bool // by the caller's group
	}{
		"of root alone": {nil, map[int]bool{group: false, stranger: false}},
		"of a group":    {map[string]any{"SocketGroup": strconv.Itoa(group)}, map[int]bool{group: true, stranger: false}},
		"by its mode":   {map[string]any{"SocketGroup": strconv.Itoa(group), "SocketMode": "0660"}, map[int]bool{group: true, stranger: false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := map[string]any{"AVAILABLEDINDS": 0, "StandbySandboxes": 0}
			maps.Copy(settings, test.settings)
			d := ownDaemon(t, 0, settings)
			// The folders above are not what is tested.
			for dir := filepath.Dir(d.socket); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o711); err != nil {
					t.Fatal(err)
				}
			}
			for gid, want := range test.want {
				if err := connectAs(user, gid, d.socket); (err == nil) != want || err != nil && !errors.Is(err, unix.EACCES) {
					t.Errorf("group %d: %v, want that it can connect: %t", gid, err, want)
				}
			}
		})
	}
}

// connectAs connects to a socket as another user. The thread that becomes this user ends.
func connectAs(uid, gid int, path string) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- func() error {
			for _, call := range [][3]uintptr{{unix.SYS_SETGROUPS}, {unix.SYS_SETGID, uintptr(gid)}, {unix.SYS_SETUID, uintptr(uid)}} {
				if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], 0); errno != 0 {
					return fmt.Errorf("become user %d: %w", uid, errno)
				}
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return errors.Join(unix.Connect(fd, &unix.SockaddrUnix{Name: path}), unix.Close(fd))
		}()
	}()
	return <-result
}

func TestStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0})
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
}

func TestLiveSocketIsAnError(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0})
	live, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	d.failsToStart(t, d.socket)
	if _, err := os.Stat(d.socket); err != nil {
		t.Errorf("the live socket was removed: %v", err)
	}
}

func TestFileInPlaceOfSocketIsKept(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0})
	if err := os.WriteFile(d.socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.failsToStart(t, d.socket)
	if kept, err := os.ReadFile(d.socket); string(kept) != "precious" {
		t.Errorf("the file is %q, %v", kept, err)
	}
}

var listening = regexp.MustCompile(`docker-sd is listening.* address="?(127\.0\.0\.1:\d+)`)

// overTCP is a client for a host and port.
func overTCP(address string) *client {
	return &client{&kit.Caller{HTTP: &http.Client{Timeout: runLimit, Transport: &http.Transport{}}, Base: "http://" + address}}
}

func TestPortListensOnLoopback(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "Socket": "", "SidecarPort": 0})
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the log names a loopback address", func() bool {
		return listening.MatchString(d.log.String())
	}, d.log.String)
	address := listening.FindStringSubmatch(d.log.String())[1]
	d.client = overTCP(address)
	p := d.run(t, newPod(shell("c", "echo over tcp")))
	if got := p.output(); got != "over tcp\n" {
		t.Errorf("log = %q", got)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d := prepareDaemon(t, map[string]any{"Socket": "", "SidecarPort": port})
	d.failsToStart(t, port, "in use")
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		settings map[string]any
		words    []string
	}{
		{"pool too large", map[string]any{"AVAILABLEDINDS": 128}, []string{"AVAILABLEDINDS", "127"}},
		{"pool is text", map[string]any{"AVAILABLEDINDS": "many"}, []string{"AVAILABLEDINDS"}},
		{"port too high", map[string]any{"Socket": "", "SidecarPort": 70000}, []string{"SidecarPort"}},
		{"socket without scheme", map[string]any{"Socket": "/tmp/x.sock"}, []string{"Socket", "unix://"}},
		{"socket too long", map[string]any{"Socket": "unix:///tmp/" + strings.Repeat("x", 107)}, []string{"Socket", "107"}},
		{"https", map[string]any{"Socket": "", "SidecarURL": "https://localhost"}, []string{"SidecarURL"}},
		{"instance is a path", map[string]any{"Instance": "../x"}, []string{"Instance"}},
		{"subnet too small", map[string]any{"DockerNetworkSubnet": []string{"10.0.0.0/30"}}, []string{"DockerNetworkSubnet"}},
		{"body limit of zero", map[string]any{"MaxBodyBytes": 0}, []string{"MaxBodyBytes"}},
		{"tombstones too short", map[string]any{"TombstonePeriod": "1m"}, []string{"TombstonePeriod", "10m"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			prepareDaemon(t, c.settings).failsToStart(t, c.words...)
		})
	}
	t.Run("broken YAML", func(t *testing.T) {
		d := prepareDaemon(t, nil)
		if err := os.WriteFile(d.Config, []byte("Instance: [x\nSocket: }"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.failsToStart(t, d.Config)
	})
	t.Run("no file", func(t *testing.T) {
		d := prepareDaemon(t, nil)
		if err := os.Remove(d.Config); err != nil {
			t.Fatal(err)
		}
		d.failsToStart(t, d.Config)
	})
}

// TestUnknownKeys: the file is often shared with the API (protocol 7.1).
func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"InterlinkAddress": "http://x", "SomethingNew": map[string]any{"a": 1}})
	if !strings.Contains(d.log.String(), "SomethingNew") {
		t.Errorf("no warning about an unknown key: %s", d.log.String())
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	first := ownDaemon(t, 0, nil)
	second := prepareDaemon(t, map[string]any{"DataRootFolder": first.data()})
	second.failsToStart(t, first.data())
	p := first.run(t, newPod(shell("c", "echo first")))
	if got := p.output(); got != "first\n" {
		t.Errorf("log = %q", got)
	}
}
