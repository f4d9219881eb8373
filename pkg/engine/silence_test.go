package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// impatient shortens a client's limits.
func impatient(c *Client) *Client {
	c.limit, c.asked, c.quiet = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	return c
}

// TestSilentEngine: an engine that accepts every call and answers none keeps
// nobody waiting, and is taken for one that is away.
func TestSilentEngine(t *testing.T) {
	answers := map[string]http.HandlerFunc{}
	hang := func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }
	for _, call := range []string{"GET /info", "POST /containers/create", "POST /containers/x/start", "POST /containers/x/stop",
		"DELETE /containers/x", "POST /containers/x/rename", "GET /containers/x/json", "GET /containers/json",
		"POST /containers/x/wait", "GET /containers/x/logs", "POST /containers/x/exec", "GET /images/x/json",
		"POST /images/create", "GET /images/get", "POST /networks/create", "DELETE /networks/x", "GET /networks", "GET /events"} {
		answers[call] = hang
	}
	c, _ := serve(t, answers)
	impatient(c)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"info":    func() error { _, err := c.Info(ctx); return err },
		"create":  func() error { _, err := c.Create(ctx, Spec{Image: "i"}); return err },
		"start":   func() error { return c.Start(ctx, "x") },
		"stop":    func() error { return c.Stop(ctx, "x", 0) },
		"remove":  func() error { return c.Remove(ctx, "x") },
		"rename":  func() error { return c.Rename(ctx, "x", "y") },
		"inspect": func() error { _, err := c.Inspect(ctx, "x"); return err },
		"list":    func() error { _, err := c.List(ctx); return err },
		"wait":    func() error { _, err := c.Wait(ctx, "x"); return err },
		"logs":    func() error { return c.Logs(ctx, "x", LogOptions{}, io.Discard) },
		"follow":  func() error { return c.Logs(ctx, "x", LogOptions{Follow: true}, io.Discard) },
		"exec":    func() error { _, err := c.Exec(ctx, "x", nil, io.Discard); return err },
		"image":   func() error { _, err := c.Image(ctx, "x"); return err },
		"pull":    func() error { return c.Pull(ctx, "x", Credentials{}, nil) },
		"copy":    func() error { _, err := c.CopyImage(ctx, c, "x"); return err },
		"network": func() error { return c.CreateNetwork(ctx, NetworkSpec{Name: "x"}) },
		"no net":  func() error { return c.RemoveNetwork(ctx, "x") },
		"nets":    func() error { _, err := c.ListNetworks(ctx); return err },
		"written": func() error { _, err := c.WrittenBytes(ctx, "x"); return err },
		"events":  func() error { return c.WatchImages(ctx, time.Now(), time.Second, func() {}) },
		"memory":  func() error { _, err := c.RanOutOfMemory(ctx, "x", time.Now(), 0); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := within(t, call); !errdefs.IsUnavailable(err) {
				t.Errorf("an engine that does not answer: %v, want ErrUnavailable", err)
			}
		})
	}
}

// within fails the test when a call does not return.
func within(t *testing.T, call func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the call has not returned")
		return nil
	}
}

// TestSilentUpgrade: the SDK itself waits for ever for the answer to an upgrade.
func TestSilentUpgrade(t *testing.T) {
	done := make(chan struct{})
	c, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start":      func(http.ResponseWriter, *http.Request) { <-done },
	})
	defer close(done)
	impatient(c)
	if err := within(t, func() error { _, err := c.Exec(t.Context(), "x", nil, io.Discard); return err }); !errdefs.IsUnavailable(err) {
		t.Errorf("Exec() = %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.limit = time.Hour
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := within(t, func() error { _, err := c.Exec(ctx, "x", nil, io.Discard); return err }); !errors.Is(err, context.Canceled) {
		t.Errorf("Exec() of a caller that left = %v", err)
	}
}

// TestLogThatStops: the engine owes the rest of a log, but not the next line of
// one that is followed.
func TestLogThatStops(t *testing.T) {
	release := make(chan struct{})
	c, _ := serve(t, map[string]http.HandlerFunc{"GET /containers/x/logs": func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, frame(1, "one\n"))
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-release:
			io.WriteString(w, frame(1, "two\n"))
		}
	}})
	impatient(c)
	var out bytes.Buffer
	err := within(t, func() error { return c.Logs(t.Context(), "x", LogOptions{}, &out) })
	if !errdefs.IsUnavailable(err) || out.String() != "one\n" {
		t.Errorf("Logs() = %v with %q, want ErrUnavailable after the first line", err, out.String())
	}
	out.Reset()
	time.AfterFunc(10*c.limit, func() { close(release) })
	err = within(t, func() error { return c.Logs(t.Context(), "x", LogOptions{Follow: true}, &out) })
	if err != nil || out.String() != "one\ntwo\n" {
		t.Errorf("Logs() of a quiet container = %v with %q, want both lines", err, out.String())
	}
}

// TestSlowReader: whoever takes a log slowly is no silent engine.
func TestSlowReader(t *testing.T) {
	c, _ := serve(t, map[string]http.HandlerFunc{"GET /containers/x/logs": says(200, strings.Repeat(frame(1, "line\n"), 3))})
	impatient(c)
	lines := 0
	err := within(t, func() error {
		return c.Logs(t.Context(), "x", LogOptions{}, writerFunc(func(b []byte) (int, error) {
			lines++
			<-time.After(2 * c.limit)
			return len(b), nil
		}))
	})
	if err != nil || lines != 3 {
		t.Errorf("Logs() = %v after %d lines, want 3", err, lines)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestWaitIsAskedAgain: an engine that lost the end of a container tells of it
// when it is asked anew.
func TestWaitIsAskedAgain(t *testing.T) {
	var asked atomic.Int32
	c, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/wait": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
			if asked.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			io.WriteString(w, `{"StatusCode":3}`)
		},
		"GET /containers/x/json": says(200, `{"Id":"x","State":{"Status":"exited","ExitCode":3}}`),
	})
	c.asked = 20 * time.Millisecond
	var state State
	err := within(t, func() (err error) { state, err = c.Wait(t.Context(), "x"); return err })
	if err != nil || state.ExitCode != 3 || asked.Load() != 2 {
		t.Errorf("Wait() = %+v, %v after %d requests, want exit code 3 after 2", state, err, asked.Load())
	}
}
