package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

// statusOf is a part of that of package api.
func statusOf(err error) int {
	switch {
	case errdefs.IsNotFound(err):
		return http.StatusNotFound
	case errdefs.IsFailedPrecondition(err):
		return http.StatusConflict
	case errdefs.IsPermissionDenied(err):
		return http.StatusForbidden
	case errdefs.IsInvalidArgument(err):
		return http.StatusBadRequest
	case errdefs.IsUnavailable(err):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// startInside serves the routes over a socket, and returns a client and the server.
func startInside(t *testing.T, r *rooms, starting bool) (*admin.Client, *admin.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "adm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server := admin.New(admin.Config{Source: fixed{}, Hosts: access.NewHosts(), Metrics: http.NotFoundHandler(), Status: statusOf, Inside: func() admin.Inside {
		if starting {
			return nil
		}
		return r
	}})
	socket, err := net.Listen("unix", filepath.Join(dir, admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(socket) }()
	client := admin.NewClient(dir)
	t.Cleanup(func() {
		client.Close()
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return client, server
}

// TestInside: what each route passes on.
func TestInside(t *testing.T) {
	r := newRooms()
	client, _ := startInside(t, r, false)
	ctx := t.Context()
	if seen, err := client.Describe(ctx, "u1"); err != nil || seen.Pod.Name != "fit" {
		t.Errorf("Describe() = %+v, %v", seen, err)
	}
	var out, errs bytes.Buffer
	err := client.Exec(ctx, "u1", "main", admin.Process{Command: []string{"a b", "--c=\"d\"", "é&?"}, TTY: true},
		remotecommand.Caller{Stdin: strings.NewReader("typed"), Stdout: &out, Stderr: &errs})
	if code, ok := errors.AsType[*remotecommand.CodeError](err); !ok || code.Code != 6 || out.String() != "typed" || errs.String() != `["a b" "--c=\"d\"" "é&?"] true` {
		t.Errorf("Exec() = %v with %q and %q", err, out.String(), errs.String())
	}
	conn, err := client.Connect(ctx, "u1", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far := <-r.far
	defer far.Close()
	if _, err := io.WriteString(conn, "question"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(far); err != nil || string(text) != "question" {
		t.Errorf("the pod reads %q, %v", text, err)
	}
	if _, err := io.WriteString(far, "answer"); err != nil {
		t.Fatal(err)
	}
	far.Close()
	if text, err := io.ReadAll(conn); err != nil || string(text) != "answer" {
		t.Errorf("the caller reads %q, %v", text, err)
	}
	if seen, err := client.Stat(ctx, "u1", "main", "/a b"); err != nil || !cmp.Equal(seen, admin.FileStat{Name: "/a b", Mode: os.ModeDir | 0o755}) {
		t.Errorf("Stat() = %+v, %v", seen, err)
	}
	files, err := client.ReadFiles(ctx, "u1", "main", "/x?y")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(files); err != nil || string(text) != "main /x?y" {
		t.Errorf("ReadFiles() = %q, %v", text, err)
	}
	files.Close()
	if err := client.WriteFiles(ctx, "u1", "main", "/in", strings.NewReader("a tar")); err != nil || r.written.String() != "a tar" {
		t.Errorf("WriteFiles() = %v, %q", err, r.written.String())
	}
}

// TestInsideErrors: their words and classes, and that a part is not taken for the whole.
func TestInsideErrors(t *testing.T) {
	r := newRooms()
	client, _ := startInside(t, r, false)
	starting, _ := startInside(t, r, true)
	ctx := t.Context()
	process := admin.Process{Command: []string{"true"}}
	for name, c := range map[string]struct {
		err  error
		is   func(error) bool
		want string
	}{
		"no such pod":     {client.Exec(ctx, "u2", "", process, remotecommand.Caller{}), errdefs.IsNotFound, "pod u2 is not here"},
		"ended":           {client.Exec(ctx, "u1", "over", process, remotecommand.Caller{}), errdefs.IsFailedPrecondition, "exit code 9"},
		"no command":      {client.Exec(ctx, "u1", "", admin.Process{}, remotecommand.Caller{}), errdefs.IsInvalidArgument, "command is missing"},
		"away":            {client.Exec(ctx, "away", "", process, remotecommand.Caller{}), errdefs.IsUnavailable, "does not answer"},
		"starting":        {starting.Exec(ctx, "u1", "", process, remotecommand.Caller{}), errdefs.IsUnavailable, "is starting"},
		"port":            {second(client.Connect(ctx, "u1", 81)), errdefs.IsFailedPrecondition, "port 81"},
		"no port":         {second(client.Connect(ctx, "u1", 0)), errdefs.IsInvalidArgument, "1 to 65535"},
		"no pod to reach": {second(client.Connect(ctx, "a/../b", 80)), errdefs.IsNotFound, "a/../b"},
		"no file":         {second(client.Stat(ctx, "u2", "", "/x")), errdefs.IsNotFound, "u2"},
		"full":            {client.WriteFiles(ctx, "u1", "", "/full", endless{}), errdefs.IsFailedPrecondition, "no space"},
		"nothing there":   {second(admin.NewClient(t.TempDir()).Connect(ctx, "u1", 80)), errdefs.IsUnavailable, "no docker-sd runs"},
		"nothing to exec": {admin.NewClient(t.TempDir()).Exec(ctx, "u1", "", process, remotecommand.Caller{}), errdefs.IsUnavailable, "no docker-sd runs"},
	} {
		if !c.is(c.err) || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	if files, err := client.ReadFiles(ctx, "u1", "", "/broken"); err == nil {
		text, err := io.ReadAll(files)
		if files.Close(); err == nil {
			t.Errorf("a part is taken for the whole: %q", text)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// endless is a body that goes on.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestInsideEnds: a server that ends takes along what it has let in.
func TestInsideEnds(t *testing.T) {
	r := newRooms()
	client, server := startInside(t, r, false)
	executed := make(chan error, 1)
	go func() {
		executed <- client.Exec(t.Context(), "u1", "", admin.Process{Command: []string{"wait"}}, remotecommand.Caller{})
	}()
	conn, err := client.Connect(t.Context(), "u1", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far := <-r.far
	defer far.Close()
	<-r.began
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil || ctx.Err() != nil {
		t.Fatalf("Shutdown() = %v, %v", err, ctx.Err())
	}
	select {
	case <-r.ended:
	default:
		t.Error("the command goes on")
	}
	if err := <-executed; err == nil {
		t.Error("a command that was broken off has succeeded")
	}
	_ = far.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := far.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection to the pod is open: %v", err)
	}
}

// TestInsideOverTCP: nobody is let in.
func TestInsideOverTCP(t *testing.T) {
	server := admin.New(admin.Config{Source: fixed{}, Hosts: access.NewHosts(), Metrics: http.NotFoundHandler(), Status: statusOf,
		Inside: func() admin.Inside { return newRooms() }})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	}()
	for path, want := range map[string]int{"/describe": 403, "/exec?command=id": 403, "/portforward?port=80": 403, "/stat?path=/": 403, "/archive?path=/": 403} {
		if response, text := ask(t, http.MethodGet, listener.Addr().String(), "localhost", admin.PathPods+"/u1"+path); response.StatusCode != want || !strings.Contains(text, "owner") {
			t.Errorf("%s is answered %d: %s", path, response.StatusCode, text)
		}
	}
	if response, _ := ask(t, http.MethodPut, listener.Addr().String(), "localhost", admin.PathPods+"/u1/archive?path=/"); response.StatusCode != 403 {
		t.Errorf("a write is answered %d", response.StatusCode)
	}
	if response, _ := ask(t, http.MethodGet, listener.Addr().String(), "localhost", admin.PathPods); response.StatusCode != 200 {
		t.Errorf("the pods are answered %d", response.StatusCode)
	}
}

// TestInsideIsForPrograms: a socket that is forwarded to a port is within reach of browsers.
// No page gets into a pod by it, whatever its name is; a program does.
func TestInsideIsForPrograms(t *testing.T) {
	client, _ := startInside(t, newRooms(), false)
	for _, c := range []struct {
		host, header string
		want         int
	}{
		{"localhost", "", 200}, {"127.0.0.1:8080", "", 200}, {"evil.example:8080", "", 421}, {"docker-sd", "", 421},
		{"localhost", "Origin", 403}, {"localhost", "Sec-Fetch-Site", 403},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+admin.PathPods+"/u1/describe", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = c.host
		if c.header != "" {
			request.Header.Set(c.header, "none")
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("under the name %q, with the header %q, the answer is %d, want %d", c.host, c.header, response.StatusCode, c.want)
		}
	}
}

// TestJournal: the last events and the first steps of each pod, from its begin to its end.
func TestJournal(t *testing.T) {
	var j admin.Journal
	j.Add(admin.Event{PodUID: "u1", What: "too early"})
	j.Open("u1")
	j.Open("u2")
	for i := range 100 {
		j.Add(admin.Event{PodUID: "u1", Number: uint64(i)})
		done := j.Begin("u1", admin.Moment{What: fmt.Sprint(i), Time: time.Now()})
		if i == 1 {
			done(errors.New("refused"))
		} else if i > 1 {
			done(nil)
		}
	}
	events, steps := j.Of("u1")
	if len(events) != 64 || events[0].Number != 99 || events[63].Number != 36 {
		t.Errorf("%d events, from %v", len(events), events[0])
	}
	if len(steps) != 64 || steps[0].State != admin.StepGoesOn || steps[1].State != admin.StepFailed || steps[2].State != "" || steps[63].What != "63" {
		t.Errorf("%d steps: %+v", len(steps), steps[:3])
	}
	j.Open("u1") // again is nothing new
	j.Close("u2")
	if again, _ := j.Of("u1"); len(again) != 64 {
		t.Errorf("%d events are left", len(again))
	}
	j.Begin("u2", admin.Moment{})(nil)
	if events, steps := j.Of("u2"); events != nil || steps != nil {
		t.Errorf("of a pod that has gone there are %v and %v", events, steps)
	}
}
