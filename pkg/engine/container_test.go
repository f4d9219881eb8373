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
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestCreate(t *testing.T) {
	var asked struct {
		Image      string
		Entrypoint []string
		HostConfig struct{ NetworkMode string }
	}
	var name string
	c, _ := serve(t, map[string]http.HandlerFunc{"POST /containers/create": func(w http.ResponseWriter, r *http.Request) {
		name = r.URL.Query().Get("name")
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		says(201, `{"Id":"abc"}`)(w, r)
	}})
	id, err := c.Create(t.Context(), Spec{Name: "n", Image: "i", Entrypoint: []string{"a b"}, Network: "host"})
	if err != nil || id != "abc" || name != "n" {
		t.Errorf("Create() = %q, %v for container %q", id, err, name)
	}
	if asked.Image != "i" || len(asked.Entrypoint) != 1 || asked.Entrypoint[0] != "a b" || asked.HostConfig.NetworkMode != "host" {
		t.Errorf("the engine was asked for %+v", asked)
	}
}

// TestCreateOnce: a container that was made by a call whose answer was lost.
func TestCreateOnce(t *testing.T) {
	taken := says(409, `{"message":"The container name \"/n\" is already in use"}`)
	for name, c := range map[string]struct {
		create, inspect http.HandlerFunc
		id              string
		is              func(error) bool
	}{
		"new":               {create: says(201, `{"Id":"abc"}`), id: "abc"},
		"made before":       {create: taken, inspect: says(200, `{"Id":"abc"}`), id: "abc"},
		"still being made":  {create: taken, inspect: says(404, `{"message":"No such container: n"}`), is: errdefs.IsUnavailable},
		"no image":          {create: says(404, `{"message":"No such image: i"}`), is: errdefs.IsNotFound},
		"the engine is ill": {create: taken, inspect: says(500, `{"message":"boom"}`), is: errdefs.IsInternal},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, map[string]http.HandlerFunc{"POST /containers/create": c.create, "GET /containers/n/json": c.inspect})
			id, err := client.CreateOnce(t.Context(), Spec{Name: "n", Image: "i"})
			if id != c.id || (err == nil) != (c.is == nil) || err != nil && !c.is(err) {
				t.Errorf("CreateOnce() = %q, %v", id, err)
			}
		})
	}
}

func TestErrorClasses(t *testing.T) {
	for _, c := range []struct {
		code int
		text string
		is   func(error) bool
	}{
		{400, "bad", errdefs.IsInvalidArgument},
		{404, "No such image: i", errdefs.IsNotFound},
		{409, "The container name is in use", errdefs.IsConflict},
		{500, "boom", errdefs.IsInternal},
	} {
		t.Run(fmt.Sprint(c.code), func(t *testing.T) {
			client, _ := serve(t, map[string]http.HandlerFunc{"POST /containers/create": says(c.code, `{"message":"`+c.text+`"}`)})
			_, err := client.Create(t.Context(), Spec{Name: "mine", Image: "i"})
			if !c.is(err) || errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "mine") {
				t.Errorf("Create() = %v, want its class, %q and the name", err, c.text)
			}
		})
	}
}

func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		ok   bool
	}{"stopped": {204, true}, "stopped already": {304, true}, "gone": {404, true}, "refused": {500, false}} {
		t.Run(name, func(t *testing.T) {
			var seconds string
			client, _ := serve(t, map[string]http.HandlerFunc{"POST /containers/x/stop": func(w http.ResponseWriter, r *http.Request) {
				seconds = r.URL.Query().Get("t")
				w.WriteHeader(c.code)
			}})
			if err := client.Stop(t.Context(), "x", 1500*time.Millisecond); (err == nil) != c.ok {
				t.Errorf("Stop() = %v, want success %v", err, c.ok)
			}
			if seconds != "2" {
				t.Errorf("a grace of 1.5 s was sent as %q, want it rounded up", seconds)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	const busy = `{"message":"removal of container x is already in progress"}`
	for name, c := range map[string]struct {
		remove, wait http.HandlerFunc
		ok           bool
	}{
		"removed":                      {says(204, ""), nil, true},
		"gone":                         {says(404, `{"message":"No such container"}`), nil, true},
		"in progress, then gone":       {says(409, busy), says(200, `{"StatusCode":0}`), true},
		"in progress, gone meanwhile":  {says(409, busy), says(404, `{"message":"No such container"}`), true},
		"in progress, engine goes off": {says(409, busy), breaksOff(""), false},
		"refused":                      {says(500, `{"message":"driver failed"}`), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var remove, wait url.Values
			client, _ := serve(t, map[string]http.HandlerFunc{
				"DELETE /containers/x":    func(w http.ResponseWriter, r *http.Request) { remove = r.URL.Query(); c.remove(w, r) },
				"POST /containers/x/wait": func(w http.ResponseWriter, r *http.Request) { wait = r.URL.Query(); c.wait(w, r) },
			})
			if err := client.Remove(t.Context(), "x"); (err == nil) != c.ok {
				t.Errorf("Remove() = %v, want success %v", err, c.ok)
			}
			if remove.Get("force") != "1" || remove.Get("v") != "1" {
				t.Errorf("removed with %v, want force and its anonymous volumes", remove)
			}
			if c.wait != nil && wait.Get("condition") != "removed" {
				t.Errorf("waited for %v, want condition removed", wait)
			}
		})
	}
}

const inspected = `{"Id":"x","Name":"/pod","Image":"sha256:i","Created":"2026-01-02T03:04:05.5Z","HostConfig":{"NetworkMode":"container:h"},
	"State":{"Status":"exited","ExitCode":137,"OOMKilled":true,"Error":"e","Pid":7,"StartedAt":"2026-01-02T03:04:06Z","FinishedAt":"0001-01-01T00:00:00Z"},
	"Config":{"Image":"busybox","Labels":{"k":"v"}},"NetworkSettings":{"Networks":{"net":{"IPAddress":"10.0.0.2"}}}}`

func TestInspect(t *testing.T) {
	c, _ := serve(t, map[string]http.HandlerFunc{
		"GET /containers/x/json":    says(200, inspected),
		"GET /containers/gone/json": says(404, `{"message":"No such container: gone"}`),
	})
	got, err := c.Inspect(t.Context(), "x")
	want := Container{ID: "x", Name: "pod", Image: "busybox", ImageID: "sha256:i", Labels: map[string]string{"k": "v"},
		Created: time.Date(2026, 1, 2, 3, 4, 5, 5e8, time.UTC), IPs: map[string]string{"net": "10.0.0.2"}, NetworkOf: "h",
		State: State{Status: StatusExited, ExitCode: 137, OOMKilled: true, Error: "e", PID: 7, StartedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Inspect(): %v (-want +got):\n%s", err, diff)
	}
	if _, err := c.Inspect(t.Context(), "gone"); !errdefs.IsNotFound(err) {
		t.Errorf("Inspect() of one that is gone = %v, want ErrNotFound", err)
	}
}

func TestList(t *testing.T) {
	var query url.Values
	c, _ := serve(t, map[string]http.HandlerFunc{"GET /containers/json": func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.Query()
		says(200, `[{"Id":"2","Names":["/b"],"State":"running","Created":60,"HostConfig":{"NetworkMode":"container:h"}},{"Id":"1","Names":["/a"],"State":"exited","Labels":{"k":"v"},"HostConfig":{"NetworkMode":"net"}},{"Id":"3"}]`)(w, r)
	}})
	got, err := c.List(t.Context(), "k=v", "l")
	want := []Container{{ID: "3", Created: time.Unix(0, 0)},
		{ID: "1", Name: "a", Labels: map[string]string{"k": "v"}, Created: time.Unix(0, 0), State: State{Status: StatusExited}},
		{ID: "2", Name: "b", Created: time.Unix(60, 0), State: State{Status: StatusRunning}, NetworkOf: "h"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("List(): %v (-want +got):\n%s", err, diff)
	}
	if query.Get("all") != "1" || query.Get("filters") != `{"label":{"k=v":true,"l":true}}` {
		t.Errorf("listed with %v, want all that carry both labels", query)
	}
}

func TestWait(t *testing.T) {
	for name, c := range map[string]struct {
		wait, inspect http.HandlerFunc
		code          int
		is            func(error) bool
	}{
		"ended":              {says(200, `{"StatusCode":137}`), says(200, inspected), 137, nil},
		"gone":               {says(404, `{"message":"No such container"}`), nil, 0, errdefs.IsNotFound},
		"removed at its end": {says(200, `{"StatusCode":0}`), says(404, `{"message":"No such container"}`), 0, errdefs.IsNotFound},
		"broken connection":  {breaksOff(""), nil, 0, errdefs.IsUnavailable},
		"half an answer":     {breaksOff(`{"Stat`), nil, 0, errdefs.IsUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, map[string]http.HandlerFunc{"POST /containers/x/wait": c.wait, "GET /containers/x/json": c.inspect})
			state, err := client.Wait(t.Context(), "x")
			if c.is == nil && (err != nil || state.ExitCode != c.code) {
				t.Errorf("Wait() = %+v, %v, want exit code %d", state, err, c.code)
			}
			if c.is != nil && !c.is(err) {
				t.Errorf("Wait() = %v, want another class", err)
			}
		})
	}
}

func TestWaitEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, _ := serve(t, map[string]http.HandlerFunc{"POST /containers/x/wait": func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}})
	if _, err := client.Wait(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait() = %v, want context.Canceled", err)
	}
}

// upgraded answers with a stream as the engine does for an exec, and then does
// with the connection what it is told to.
func upgraded(t *testing.T, stream string, then func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// What is left unread would have the connection reset when it is closed.
		_, _ = io.Copy(io.Discard, r.Body)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		buffered.WriteString("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + stream)
		buffered.Flush()
		if then != nil {
			then(conn)
		}
	}
}

func TestExec(t *testing.T) {
	asked := 0
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start":      upgraded(t, frame(1, "out ")+frame(2, "err ")+frame(1, "out"), nil),
		"GET /exec/e/json": func(w http.ResponseWriter, r *http.Request) {
			asked++
			says(200, fmt.Sprintf(`{"ID":"e","Running":%t,"ExitCode":%d}`, asked < 3, min(asked-1, 2)*21))(w, r)
		},
	})
	var out bytes.Buffer
	code, err := client.Exec(t.Context(), "x", []string{"true"}, &out)
	if err != nil || code != 42 || out.String() != "out err out" {
		t.Errorf("Exec() = %d, %v with output %q, want 42 and both streams in order", code, err, out.String())
	}
	if asked != 3 {
		t.Errorf("the exit code was taken after %d answers, want the first that says not running", asked)
	}
}

func TestExecEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start": upgraded(t, "", func(conn net.Conn) {
			cancel()
			io.Copy(io.Discard, conn)
		}),
	})
	if _, err := client.Exec(ctx, "x", []string{"sleep"}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Exec() = %v, want context.Canceled", err)
	}
}

// TestExecThatRunsOutOfTime tells which process is left.
func TestExecThatRunsOutOfTime(t *testing.T) {
	for name, c := range map[string]struct {
		answers []string
		want    int
	}{
		"it runs":             {[]string{`{"ID":"e","Running":true,"Pid":77}`}, 77},
		"it begins only then": {[]string{`{"ID":"e","Running":true,"Pid":0}`, `{"ID":"e","Running":true,"Pid":78}`}, 78},
		"it ended just then":  {[]string{`{"ID":"e","Running":false,"Pid":79}`}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			client, _ := serve(t, map[string]http.HandlerFunc{
				"POST /containers/x/exec": says(201, `{"Id":"e"}`),
				"POST /exec/e/start":      upgraded(t, "", func(conn net.Conn) { io.Copy(io.Discard, conn) }),
				"GET /exec/e/json": func(w http.ResponseWriter, r *http.Request) {
					says(200, c.answers[min(asked, len(c.answers)-1)])(w, r)
					asked++
				},
			})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := client.Exec(ctx, "x", []string{"sleep"}, io.Discard)
			left := &UnfinishedError{}
			if !errors.As(err, &left) || left.PID != c.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Exec() = %#v, want process %d", err, c.want)
			}
		})
	}
}

// TestExecThatLeavesAChild: the child holds the streams, and the exit code comes all the same.
func TestExecThatLeavesAChild(t *testing.T) {
	asked := 0
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/exec": says(201, `{"Id":"e"}`),
		"POST /exec/e/start":      upgraded(t, frame(1, "out"), func(conn net.Conn) { io.Copy(io.Discard, conn) }),
		"GET /exec/e/json": func(w http.ResponseWriter, r *http.Request) {
			asked++
			says(200, fmt.Sprintf(`{"ID":"e","Running":%t,"ExitCode":3,"Pid":7}`, asked < 2))(w, r)
		},
	})
	var out bytes.Buffer
	code, err := client.Exec(t.Context(), "x", []string{"true"}, &out)
	if err != nil || code != 3 || out.String() != "out" {
		t.Errorf("Exec() = %d, %v with output %q", code, err, out.String())
	}
}
