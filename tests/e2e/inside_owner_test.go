//go:build e2e

package e2e_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// TestOnlyTheOwnerEnters: whatever the rights of the socket are, and not over TCP.
func TestOnlyTheOwnerEnters(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"AdminAddress": "127.0.0.1:0"})
	p := d.standing(t, func(pod *v1.Pod) {
		pod.Spec.Containers[0] = shell("main", ": MARK-of-the-command; x=log; echo MARK-of-the-$x; "+untilStopped)
	})
	eventually(t, runLimit, "the container has written", func() bool {
		code, text := d.must(t, http.MethodGet, "/getLogs", logBody(t, p.pod, "main", logOptions{}))
		return code == http.StatusOK && text != ""
	}, nil)
	socket := filepath.Join(d.data(), admin.SocketName)
	const user, group = 64001, 64002
	if err := connectAs(user, group, socket); !errors.Is(err, unix.EACCES) {
		t.Errorf("another user connects: %v", err)
	}
	for dir := filepath.Dir(socket); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	info, err := d.operator(t).Info(t.Context())
	if err != nil || info.Admin == "" {
		t.Fatalf("Info() = %+v, %v, want a TCP address", info, err)
	}
	path := admin.PathPods + "/" + string(p.pod.UID)
	const tcp = "tcp"
	for _, c := range []struct {
		name, network, address string
		uid                    int
		path                   string
		want                   int
	}{
		{"root", "unix", socket, 0, path + "/describe", http.StatusOK},
		{"another user", "unix", socket, user, path + "/describe", http.StatusForbidden},
		{"another user", "unix", socket, user, path + "/exec?command=id", http.StatusForbidden},
		{"another user", "unix", socket, user, path + "/portforward?port=80", http.StatusForbidden},
		{"another user", "unix", socket, user, path + "/archive?path=/etc", http.StatusForbidden},
		// What it can see shows that it is refused for what it is.
		{"another user", "unix", socket, user, admin.PathPods, http.StatusOK},
		{"root by TCP", tcp, info.Admin, 0, path + "/describe", http.StatusForbidden},
		{"root by TCP", tcp, info.Admin, 0, path + "/exec?command=id", http.StatusForbidden},
		{"root by TCP", tcp, info.Admin, 0, path + "/archive?path=/etc", http.StatusForbidden},
		{"root by TCP", tcp, info.Admin, 0, admin.PathPods, http.StatusOK},
	} {
		conn, err := dialAs(c.uid, c.network, c.address)
		if err != nil {
			t.Errorf("%s cannot connect: %v", c.name, err)
			continue
		}
		if code, _ := answerTo(t, conn, c.path); code != c.want {
			t.Errorf("%s gets %d for %s, want %d", c.name, code, c.path, c.want)
		}
	}
	p.pageIsDiscreet(user, socket, info.Admin)
}

// pageIsDiscreet looks at the page of a pod as its owner and as others: how its container was
// asked for, and its log, are the owner's.
func (p *podRun) pageIsDiscreet(user int, socket, tcp string) {
	t := p.t
	t.Helper()
	for _, c := range []struct {
		name, network, address string
		uid                    int
		all                    bool
	}{{"root", "unix", socket, 0, true}, {"another user", "unix", socket, user, false}, {"root by TCP", "tcp", tcp, 0, false}} {
		conn, err := dialAs(c.uid, c.network, c.address)
		if err != nil {
			t.Errorf("%s cannot connect: %v", c.name, err)
			continue
		}
		code, body := answerTo(t, conn, "/pods/"+string(p.pod.UID))
		if sees := strings.Contains(body, "Log of container main") && strings.Contains(body, "MARK-of-the-log") && strings.Contains(body, "MARK-of-the-command"); code != http.StatusOK ||
			sees != c.all || strings.Contains(body, "MARK") != c.all || !strings.Contains(body, p.pod.Name) {
			t.Errorf("%s gets %d and sees all: %v, want %v:\n%s", c.name, code, sees, c.all, body)
		}
	}
}

// dialAs connects as another user. The thread that becomes this user ends.
func dialAs(uid int, network, address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for _, call := range [][3]uintptr{{unix.SYS_SETGROUPS}, {unix.SYS_SETGID, uintptr(uid)}, {unix.SYS_SETUID, uintptr(uid)}} {
			if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], 0); errno != 0 {
				err = fmt.Errorf("become user %d: %w", uid, errno)
				return
			}
		}
		conn, err = net.Dial(network, address)
	}()
	<-done
	return conn, err
}

// answerTo is the answer to a GET over a connection, which it closes.
func answerTo(t *testing.T, conn net.Conn, path string) (code int, body string) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(runLimit)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
