package initapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// folder is short, for a socket's path may have 107 bytes.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "init")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve answers calls to an init by a function, until the test ends.
func serve(t *testing.T, answer func(net.Conn)) *Client {
	t.Helper()
	dir := folder(t)
	listener, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answer(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return NewClient(dir)
}

// TestCalls: what each sends, and what it makes of the answer.
func TestCalls(t *testing.T) {
	gid := int64(7)
	source := Source{Roots: []Root{{Path: "/a", Names: []string{"/b"}}}, Path: "p", Type: "File", NoCreate: true, SubPath: "s",
		Private: []Identity{{Device: 1, Inode: 2}}}
	tmpfs := Tmpfs{Path: "/m", SizeBytes: 1, Mode: 0o1777, GID: &gid}
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		call   func(ctx context.Context, c *Client) (any, error)
		want   string
		answer string
		result any
	}{
		"status": {func(ctx context.Context, c *Client) (any, error) { return c.Status(ctx) },
			`{"op":"status"}`, `{"state":{"standby":true,"engineStarted":"2026-01-02T03:04:05Z","engineStarts":2,"used":1500}}`, State{true, began, 2, 1500}},
		"status of an engine that never started": {func(ctx context.Context, c *Client) (any, error) { return c.Status(ctx) },
			`{"op":"status"}`, `{"state":{"standby":false},"later":"field"}`, State{}},
		"start": {func(ctx context.Context, c *Client) (any, error) { return nil, c.Start(ctx, true) },
			`{"op":"start","current":true}`, `{}`, nil},
		"check": {func(ctx context.Context, c *Client) (any, error) { return nil, c.Check(ctx, source) },
			`{"op":"check","source":{"roots":[{"path":"/a","names":["/b"]}],"path":"p","type":"File","noCreate":true,"subPath":"s","private":[{"device":1,"inode":2}]}}`, `{}`, nil},
		"pin": {func(ctx context.Context, c *Client) (any, error) { return c.Pin(ctx, "c/1", Source{Roots: []Root{}}) },
			`{"op":"pin","place":"c/1","source":{"roots":[]}}`, `{"path":"/pins/c/1"}`, "/pins/c/1"},
		"tmpfs": {func(ctx context.Context, c *Client) (any, error) { return nil, c.Tmpfs(ctx, tmpfs) },
			`{"op":"tmpfs","tmpfs":{"path":"/m","sizeBytes":1,"mode":1023,"gid":7}}`, `{}`, nil},
		"has image": {func(ctx context.Context, c *Client) (any, error) { return c.HasImage(ctx, "v") },
			`{"op":"image","image":{"volume":"v"}}`, `{}`, true},
		"has no image": {func(ctx context.Context, c *Client) (any, error) { return c.HasImage(ctx, "v") },
			`{"op":"image","image":{"volume":"v"}}`, `{"error":{"kind":"missing","message":"is not mounted yet"}}`, false},
		"image": {func(ctx context.Context, c *Client) (any, error) {
			return nil, c.MountImage(ctx, "v", []string{"top", "base"})
		}, `{"op":"image","image":{"volume":"v","mount":true,"layers":["top","base"]}}`, `{}`, nil},
		"nfs": {func(ctx context.Context, c *Client) (any, error) {
			return nil, c.MountNFS(ctx, NFS{Name: "n", Server: "s", Path: "/d", ReadOnly: true, Flags: []string{"noexec"}, Options: "soft"})
		}, `{"op":"nfs","nfs":{"name":"n","server":"s","path":"/d","readOnly":true,"flags":["noexec"],"options":"soft"}}`, `{}`, nil},
		"shm": {func(ctx context.Context, c *Client) (any, error) { return nil, c.ResizeShm(ctx, 5) },
			`{"op":"shm","shm":5}`, `{}`, nil},
		"sysctl": {func(ctx context.Context, c *Client) (any, error) {
			return nil, c.SetSysctls(ctx, map[string]string{"a.b": "1"})
		}, `{"op":"sysctl","sysctl":{"a.b":"1"}}`, `{}`, nil},
		"kill": {func(ctx context.Context, c *Client) (any, error) { return nil, c.Kill(ctx, 9) },
			`{"op":"kill","pid":9}`, `{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got map[string]any
			client := serve(t, func(conn net.Conn) {
				if err := json.NewDecoder(conn).Decode(&got); err != nil {
					t.Error(err)
				}
				io.WriteString(conn, c.answer)
			})
			result, err := c.call(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			want["version"] = float64(Version)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("it sent (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.result, result); diff != "" {
				t.Errorf("it returned (-want +got):\n%s", diff)
			}
		})
	}
}

// TestErrorClasses: who can do something about it, in the words of the init alone.
func TestErrorClasses(t *testing.T) {
	for kind, is := range map[Kind]func(error) bool{
		KindInvalid: errdefs.IsInvalidArgument,
		KindOutside: errdefs.IsInvalidArgument,
		KindMissing: errdefs.IsFailedPrecondition,
		KindUnknown: errdefs.IsNotImplemented,
		KindAway:    errdefs.IsUnavailable,
		KindFailed:  errdefs.IsUnknown,
		"of later":  errdefs.IsUnknown,
	} {
		t.Run(string(kind), func(t *testing.T) {
			client := serve(t, func(conn net.Conn) {
				_ = json.NewEncoder(conn).Encode(Answer{Version: Version + 1, Error: &Error{Kind: kind, Message: "leads outside"}})
				_, _ = io.Copy(io.Discard, conn) // what was sent is read before the connection ends
			})
			_, err := client.Pin(t.Context(), "c/1", Source{})
			if !is(err) || errdefs.IsUnavailable(err) != (kind == KindAway) {
				t.Errorf("kind %s is %v", kind, err)
			}
			var known *Error
			if !errors.As(err, &known) || known.Kind != kind || err.Error() != "leads outside" {
				t.Errorf("Pin() = %q, want the init's own words", err)
			}
			if text := fmt.Errorf("volume: %w", err).Error(); text != "volume: leads outside" {
				t.Errorf("with what was tried it is %q", text)
			}
		})
	}
}

// TestUnavailable: an init that is away, or that breaks off, may be asked again.
func TestUnavailable(t *testing.T) {
	answering := func(text string) *Client {
		return serve(t, func(conn net.Conn) {
			var request Request
			_ = json.NewDecoder(conn).Decode(&request)
			io.WriteString(conn, text)
		})
	}
	dead := folder(t)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dead, SocketName)})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	for name, client := range map[string]*Client{
		"no socket":        NewClient(folder(t)),
		"nobody listens":   NewClient(dead),
		"no answer":        answering(""),
		"half an answer":   answering(`{"version":1,"state":{"stand`),
		"no JSON":          answering("HTTP/1.1 400 Bad Request\r\n"),
		"an endless one":   answering(`{"path":"` + strings.Repeat("a", answerLimit) + `"}`),
		"one that is late": serve(t, func(conn net.Conn) { conn.Close() }),
	} {
		t.Run(name, func(t *testing.T) {
			if state, err := client.Status(t.Context()); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "init for status") {
				t.Errorf("Status() = %+v, %v, want one that says what was asked for", state, err)
			}
		})
	}
	if state, err := answering(`{"version":1}`).Status(t.Context()); !errdefs.IsUnknown(err) {
		t.Errorf("Status() of an answer without a state = %+v, %v", state, err)
	}
}

// TestContextEnds a call to an init that hangs.
func TestContextEnds(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	client := serve(t, func(net.Conn) { entered <- struct{}{}; <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { _, err := client.Status(ctx); result <- err }()
	<-entered
	cancel()
	select {
	case err := <-result:
		if !errors.Is(err, context.Canceled) || !errdefs.IsUnavailable(err) {
			t.Errorf("Status() = %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the call goes on although its context ended")
	}
	if err := client.Start(ctx, true); !errors.Is(err, context.Canceled) {
		t.Errorf("Start() with a context that has ended = %v", err)
	}
}

func TestBootCommand(t *testing.T) {
	for _, c := range []struct {
		store, standby bool
		want           string
	}{
		{false, false, "/docker-sd-init boot -- --a --b"},
		{true, false, "/docker-sd-init boot -store -- --a --b"},
		{true, true, "/docker-sd-init boot -store -standby -- --a --b"},
	} {
		if got := strings.Join(BootCommand(c.store, c.standby, "--a", "--b"), " "); got != c.want {
			t.Errorf("BootCommand(%t, %t) = %s", c.store, c.standby, got)
		}
	}
}
