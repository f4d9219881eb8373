package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"
)

// after answers that an exec runs, and from the n-th time on that it has ended.
func after(n int, code, pid int) http.HandlerFunc {
	asked := 0
	return func(w http.ResponseWriter, r *http.Request) {
		asked++
		says(200, fmt.Sprintf(`{"ID":"e","Running":%t,"ExitCode":%d,"Pid":%d}`, asked < n, code, pid))(w, r)
	}
}

// TestRun: both streams apart, the input to its end, and how the process ended.
func TestRun(t *testing.T) {
	var asked container.ExecOptions
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": func(w http.ResponseWriter, r *http.Request) {
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			says(201, `{"Id":"e"}`)(w, r)
		},
		"POST /exec/e/start": upgraded(t, "", func(conn net.Conn) {
			text, err := io.ReadAll(conn) // to the end of its input
			if err != nil {
				t.Error(err)
			}
			io.WriteString(conn, frame(1, "got "+string(text))+frame(2, "complaint"))
		}),
		"GET /exec/e/json": after(2, 42, 77),
	})
	var out, errs bytes.Buffer
	ended, err := client.Run(t.Context(), "x", Process{Argv: []string{"a", "b"}}, Streams{Stdin: io.NopCloser(strings.NewReader("in")), Stdout: &out, Stderr: &errs})
	if err != nil || ended != (Ended{Code: 42, PID: 77}) || out.String() != "got in" || errs.String() != "complaint" {
		t.Errorf("Run() = %+v, %v with %q and %q", ended, err, out.String(), errs.String())
	}
	want := container.ExecOptions{Cmd: []string{"a", "b"}, AttachStdin: true, AttachStdout: true, AttachStderr: true, DetachKeys: neverTyped}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("the engine is asked for another exec (-want +got):\n%s", diff)
	}
}

// TestRunInTerminal: one stream as it is, and the sizes that the terminal gets.
func TestRunInTerminal(t *testing.T) {
	sizes, seen := make(chan Size, 1), make(chan string, 10)
	refusals := 2
	release := make(chan struct{})
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start":      upgraded(t, "raw \x01\x00", func(net.Conn) { <-release }),
		"POST /exec/e/resize": func(w http.ResponseWriter, r *http.Request) {
			if refusals--; refusals >= 0 {
				says(500, `{"message":"no such terminal yet"}`)(w, r)
				return
			}
			says(200, "")(w, r)
			seen <- r.URL.Query().Get("w") + "x" + r.URL.Query().Get("h")
		},
		"GET /exec/e/json": after(1<<30, 0, 5),
	})
	sizes <- Size{Width: 80, Height: 24}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	result := make(chan error, 1)
	go func() {
		_, err := client.Run(ctx, "x", Process{Argv: []string{"sh"}, TTY: true}, Streams{Stdout: &out, Sizes: sizes})
		result <- err
	}()
	for _, want := range []string{"80x24", "132x50"} {
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("the terminal gets %s, want %s", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the terminal does not get %s", want)
		}
		if want == "80x24" {
			sizes <- Size{Width: 132, Height: 50}
		}
	}
	cancel()
	close(release)
	left, ok := errors.AsType[*UnfinishedError](<-result)
	if !ok || left.PID != 5 || out.String() != "raw \x01\x00" {
		t.Errorf("Run() = %v, with %q", left, out.String())
	}
}

// slow takes its time for each write.
type slow struct {
	bytes.Buffer
	pause time.Duration
}

func (s *slow) Write(b []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Buffer.Write(b)
}

// TestRunToASlowReader: all of the output of a process that has ended long ago is passed on.
func TestRunToASlowReader(t *testing.T) {
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start":      upgraded(t, frame(1, "one")+frame(1, "two")+frame(1, "three"), nil),
		"GET /exec/e/json":        after(2, 0, 7),
	})
	out := &slow{pause: processDrain}
	if _, err := client.Run(t.Context(), "x", Process{Argv: []string{"true"}}, Streams{Stdout: out}); err != nil || out.String() != "onetwothree" {
		t.Errorf("Run() = %v, with %q", err, out.String())
	}
}

// TestRunThatLeavesAChild: the child holds the streams, and the end comes all the same; the
// caller learns whose session is left.
func TestRunThatLeavesAChild(t *testing.T) {
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start":      upgraded(t, frame(1, "out"), func(conn net.Conn) { io.Copy(io.Discard, conn) }),
		"GET /exec/e/json":        after(2, 3, 7),
	})
	var out bytes.Buffer
	ended, err := client.Run(t.Context(), "x", Process{Argv: []string{"true"}}, Streams{Stdout: &out})
	if err != nil || ended != (Ended{Code: 3, PID: 7}) || out.String() != "out" {
		t.Errorf("Run() = %+v, %v with %q", ended, err, out.String())
	}
}

// TestRunGivenUp: by its caller, or because nobody takes its output; the caller learns which
// process or session is left, and its input is closed.
func TestRunGivenUp(t *testing.T) {
	broken := errors.New("nobody reads")
	for name, c := range map[string]struct {
		inspect http.HandlerFunc
		leave   bool
		ended   Ended
		left    int
	}{
		"it runs":           {after(1<<30, 0, 77), true, Ended{}, 77},
		"it has ended":      {after(1, 4, 78), true, Ended{Code: 4, PID: 78}, 0},
		"it cannot write":   {after(1<<30, 0, 79), false, Ended{}, 79},
		"nobody reads ends": {after(1, 5, 80), false, Ended{Code: 5, PID: 80}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			client, _ := serve(t, map[string]http.HandlerFunc{
				"POST /containers/x/exec": says(201, `{"Id":"e"}`),
				"POST /exec/e/start": upgraded(t, frame(1, "out"), func(conn net.Conn) {
					if c.leave {
						cancel()
					}
					io.Copy(io.Discard, conn)
				}),
				"GET /exec/e/json": c.inspect,
			})
			stdin, kept := io.Pipe()
			ended, err := client.Run(ctx, "x", Process{Argv: []string{"sleep"}}, Streams{Stdin: stdin, Stdout: failing{broken}})
			left, ok := errors.AsType[*UnfinishedError](err)
			if !ok || left.PID != c.left || ended != c.ended || !c.leave && !errors.Is(err, broken) {
				t.Errorf("Run() = %+v, %v, want process %d left", ended, err, c.left)
			}
			if _, err := kept.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("its input is open: %v", err)
			}
		})
	}
}

// failing takes nothing.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestRunThatClosesItsStreams: a process may close what it writes to and run on, for longer
// than the engine may be silent.
func TestRunThatClosesItsStreams(t *testing.T) {
	began := make(chan int, 1)
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start":      upgraded(t, frame(1, "out"), nil),
		"GET /exec/e/json":        after(12, 3, 7), // 5, 10, 20, ... milliseconds apart
	})
	client.limit = 500 * time.Millisecond
	var out bytes.Buffer
	ended, err := client.Run(t.Context(), "x", Process{Argv: []string{"true"}, Began: func(pid int) { began <- pid }}, Streams{Stdout: &out})
	if err != nil || ended != (Ended{Code: 3, PID: 7}) || out.String() != "out" || len(began) != 1 {
		t.Errorf("Run() = %+v, %v with %q, and it began %d times", ended, err, out.String(), len(began))
	}
}
