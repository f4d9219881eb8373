package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// fakeSystemd gives what is told to systemd, message by message.
func fakeSystemd(t *testing.T) <-chan string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	messages := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			messages <- string(buf[:n])
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	t.Setenv("NOTIFY_SOCKET", path)
	return messages
}

func next(t *testing.T, messages <-chan string) string {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("systemd was told nothing")
		return ""
	}
}

func TestSupervisorStates(t *testing.T) {
	messages := fakeSystemd(t)
	s := supervisor{status: func() string { return "3 pods" }}
	for _, c := range []struct {
		tell func(context.Context)
		want string
	}{
		{s.starting, "STATUS=waiting for the Docker engine"},
		{s.ready, "READY=1\nSTATUS=3 pods"},
		{s.stopping, "STOPPING=1\nSTATUS=draining; pods go on running"},
	} {
		c.tell(t.Context())
		if got := next(t, messages); got != c.want {
			t.Errorf("systemd was told %q, want %q", got, c.want)
		}
	}
}

// The watchdog is fed while calls are answered, and only then.
func TestWatchdog(t *testing.T) {
	messages := fakeSystemd(t)
	t.Setenv("WATCHDOG_USEC", "60000")
	var well atomic.Bool
	asked := make(chan struct{})
	s := supervisor{status: func() string { return "s" }, alive: func(context.Context) error {
		asked <- struct{}{}
		if well.Load() {
			return nil
		}
		return errors.New("stuck")
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.run(ctx); close(ended) }()
	for range 3 {
		<-asked
	}
	select {
	case m := <-messages:
		t.Errorf("nobody answers calls and systemd was told %q", m)
	default:
	}
	well.Store(true)
	go func() {
		for {
			select {
			case <-asked:
			case <-ended:
				return
			}
		}
	}()
	for range 3 {
		if got, want := next(t, messages), "WATCHDOG=1\nSTATUS=s"; got != want {
			t.Errorf("systemd was told %q, want %q", got, want)
		}
	}
	cancel()
	<-ended
}

// Without a watchdog people still see a line; without systemd nothing happens.
func TestWithoutWatchdog(t *testing.T) {
	messages := fakeSystemd(t)
	s := supervisor{status: func() string { return "s" }, alive: func(context.Context) error { t.Error("asked"); return nil }}
	s.feed(t.Context(), time.Second, false)
	if got := next(t, messages); got != "STATUS=s" {
		t.Errorf("systemd was told %q", got)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	s.ready(t.Context())
	select {
	case m := <-messages:
		t.Errorf("systemd was told %q", m)
	default:
	}
}
