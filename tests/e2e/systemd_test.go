//go:build e2e

package e2e_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// What systemd is told: ready when pods are taken and not before, that all is
// well while it is, and the end.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1})
	path := filepath.Join(d.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d.Env = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=300000"}
	told := make(chan string, 1000)
	go func() {
		defer close(told)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	await := func(want string) (passed []string) {
		t.Helper()
		limit := time.After(runLimit)
		for {
			select {
			case message := <-told:
				passed = append(passed, message)
				if strings.Contains(message, want) {
					return passed
				}
			case <-limit:
				t.Fatalf("systemd was not told %s, but %q", want, passed)
			}
		}
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	if early := await("READY=1"); !strings.HasPrefix(early[0], "STATUS=waiting") || strings.Contains(early[0], "READY") {
		t.Errorf("before it was ready systemd was told %q", early)
	}
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitPhase(v1.PodRunning)
	await("WATCHDOG=1\nSTATUS=1 pods have a sandbox, ")
	p.delete(1)
	p.waitGone()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	await("STOPPING=1")
}
