package remotecommand_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is long for what takes milliseconds.
const limit = 30 * time.Second

type process func(context.Context, remotecommand.Streams) (int, error)

// serve runs a process for each call, and returns where and how to call.
func serve(t *testing.T, stdin bool, run process) (string, *http.Client) {
	t.Helper()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		_ = remotecommand.Serve(r.Context(), w, r, stdin, run)
	}))
	transport := &http.Transport{}
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
		select {
		case <-done:
		case <-time.After(limit):
			t.Error("the server goes on")
		}
	})
	return "ws" + strings.TrimPrefix(server.URL, "http"), &http.Client{Transport: transport}
}

// TestRun: streams in both directions, and how a process ends.
func TestRun(t *testing.T) {
	broken := errors.New("the sandbox stopped")
	echo := func(_ context.Context, s remotecommand.Streams) (int, error) {
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 0, err
	}
	for name, c := range map[string]struct {
		run       process
		stdin     io.Reader
		out, errs string
		code      int
		want      string
	}{
		"nothing": {run: func(context.Context, remotecommand.Streams) (int, error) { return 0, nil }},
		"no input": {run: func(_ context.Context, s remotecommand.Streams) (int, error) {
			if s.Stdin != nil {
				return 1, nil
			}
			return 0, nil
		}},
		"both streams": {run: func(_ context.Context, s remotecommand.Streams) (int, error) {
			_, err := io.WriteString(s.Stdout, "out")
			_, more := io.WriteString(s.Stderr, "errors")
			return 0, errors.Join(err, more)
		}, out: "out", errs: "errors"},
		"exit code":                {run: func(context.Context, remotecommand.Streams) (int, error) { return 37, nil }, code: 37},
		"an error":                 {run: func(context.Context, remotecommand.Streams) (int, error) { return 0, broken }, want: "the sandbox stopped"},
		"input":                    {run: echo, stdin: strings.NewReader("typed"), out: "typed"},
		"empty input":              {run: echo, stdin: strings.NewReader("")},
		"input that is not wanted": {run: func(context.Context, remotecommand.Streams) (int, error) { return 5, nil }, stdin: strings.NewReader(strings.Repeat("x", 8<<20)), code: 5},
	} {
		t.Run(name, func(t *testing.T) {
			url, client := serve(t, c.stdin != nil, c.run)
			var out, errs bytes.Buffer
			err := remotecommand.Run(t.Context(), client, url, remotecommand.Caller{Stdin: c.stdin, Stdout: &out, Stderr: &errs})
			var code int
			if ended, ok := errors.AsType[*remotecommand.CodeError](err); ok {
				code, err = ended.Code, nil
			}
			if out.String() != c.out || errs.String() != c.errs || code != c.code {
				t.Errorf("output %q, errors %q, code %d, want %q, %q, %d", out.String(), errs.String(), code, c.out, c.errs, c.code)
			}
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("it ended with %v, want %q", err, c.want)
			}
		})
	}
}

// TestMuch: what goes in comes back unchanged, with a reader that pauses.
func TestMuch(t *testing.T) {
	const size = 64 << 20
	url, client := serve(t, true, func(_ context.Context, s remotecommand.Streams) (int, error) {
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 3, err
	})
	sent, got := sha256.New(), sha256.New()
	n := int64(0)
	err := remotecommand.Run(t.Context(), client, url, remotecommand.Caller{
		Stdin: io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), sent),
		Stdout: writer(func(b []byte) (int, error) {
			if n += int64(len(b)); n == size {
				time.Sleep(200 * time.Millisecond) // the end is told behind it
			}
			return got.Write(b)
		})})
	if ended, ok := errors.AsType[*remotecommand.CodeError](err); !ok || ended.Code != 3 {
		t.Errorf("Run() = %v", err)
	}
	if n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d bytes came back, changed: %t", n, !bytes.Equal(sent.Sum(nil), got.Sum(nil)))
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// TestSizes: the process gets the newest size.
func TestSizes(t *testing.T) {
	url, client := serve(t, false, func(ctx context.Context, s remotecommand.Streams) (int, error) {
		for {
			select {
			case size := <-s.Sizes:
				if size == (remotecommand.Size{Width: 120, Height: 50}) {
					return 8, nil
				}
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	})
	sizes := make(chan remotecommand.Size, 3)
	for _, height := range []uint16{20, 30, 50} {
		sizes <- remotecommand.Size{Width: 120, Height: height}
	}
	err := remotecommand.Run(t.Context(), client, url, remotecommand.Caller{Sizes: sizes})
	if ended, ok := errors.AsType[*remotecommand.CodeError](err); !ok || ended.Code != 8 {
		t.Errorf("Run() = %v", err)
	}
}

// TestLeaves: the context of a process ends with its caller, whatever the process does.
func TestLeaves(t *testing.T) {
	for name, run := range map[string]process{
		"it waits": func(ctx context.Context, _ remotecommand.Streams) (int, error) { <-ctx.Done(); return 0, nil },
		"it reads": func(_ context.Context, s remotecommand.Streams) (int, error) {
			_, err := io.Copy(io.Discard, s.Stdin)
			return 0, err
		},
		"it writes":            func(_ context.Context, s remotecommand.Streams) (int, error) { return 0, writeAll(s.Stdout) },
		"it reads no input":    func(ctx context.Context, _ remotecommand.Streams) (int, error) { <-ctx.Done(); return 0, nil },
		"nobody reads its own": func(ctx context.Context, s remotecommand.Streams) (int, error) { return 0, writeAll(s.Stderr) },
	} {
		for _, how := range []string{"in order", "killed"} {
			t.Run(name+", "+how, func(t *testing.T) {
				ended := make(chan struct{})
				url, client := serve(t, true, func(ctx context.Context, s remotecommand.Streams) (int, error) {
					defer close(ended)
					return run(ctx, s)
				})
				var conn net.Conn
				client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					var err error
					conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
					return conn, err
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{remotecommand.Protocol}})
				if err != nil {
					t.Fatal(err)
				}
				defer ws.CloseNow()
				if name == "it reads no input" {
					// More than sockets hold, so that the server is blocked in it.
					sending, stop := context.WithTimeout(ctx, 500*time.Millisecond)
					var blocked error
					for blocked == nil {
						blocked = ws.Write(sending, websocket.MessageBinary, make([]byte, 1<<20-1))
					}
					stop()
				}
				if how == "killed" {
					conn.Close()
				} else {
					ws.CloseNow()
				}
				select {
				case <-ended:
				case <-time.After(limit):
					t.Fatal("the process goes on although its caller has left")
				}
			})
		}
	}
}

func writeAll(to io.Writer) error {
	for {
		if _, err := to.Write(make([]byte, 1<<16)); err != nil {
			return err
		}
	}
}

// TestServerEnds: its context ends, and so does the process, although the caller reads
// nothing.
func TestServerEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		_ = remotecommand.Serve(ctx, w, r, false, func(_ context.Context, s remotecommand.Streams) (int, error) {
			close(began)
			return 0, writeAll(s.Stdout)
		})
	}))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ws, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{remotecommand.Protocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	<-began
	cancel()
	select {
	case <-ended:
	case <-time.After(limit):
		t.Fatal("the process goes on although its server has ended")
	}
}

// TestRefused: what the server says instead of a websocket.
func TestRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such pod", http.StatusNotFound) }))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	err := remotecommand.Run(t.Context(), client, "ws"+strings.TrimPrefix(server.URL, "http"), remotecommand.Caller{})
	refused, ok := errors.AsType[*remotecommand.RefusedError](err)
	if !ok {
		t.Fatalf("Run() = %v", err)
	}
	if diff := cmp.Diff(&remotecommand.RefusedError{Code: http.StatusNotFound, Text: "no such pod"}, refused); diff != "" {
		t.Error(diff)
	}
}

// hanging is an output that nobody takes.
type hanging struct{ release chan struct{} }

func (h hanging) Write(b []byte) (int, error) {
	<-h.release
	return len(b), nil
}

// TestRunThatNobodyReads: the end of its context ends a call whose output hangs, and with it
// the command.
func TestRunThatNobodyReads(t *testing.T) {
	killed := make(chan error, 1)
	url, client := serve(t, false, func(ctx context.Context, s remotecommand.Streams) (int, error) {
		_, _ = s.Stdout.Write([]byte("y\n"))
		<-ctx.Done()
		killed <- ctx.Err()
		return 0, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	out := hanging{make(chan struct{})}
	defer close(out.release)
	ended := make(chan error, 1)
	go func() { ended <- remotecommand.Run(ctx, client, url, remotecommand.Caller{Stdout: out}) }()
	time.AfterFunc(100*time.Millisecond, cancel)
	for what, c := range map[string]chan error{"the call": ended, "the command": killed} {
		select {
		case err := <-c:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s ends with %v", what, err)
			}
		case <-time.After(limit):
			t.Errorf("%s goes on", what)
		}
	}
}
