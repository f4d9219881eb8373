package main

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// connected is an engine and docker-sd's own client for it.
func connected(t *testing.T) (*engine.Client, *tally) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "e.sock")
	calls := newTally()
	e := newFakeEngine(calls, 0)
	if err := e.listen(socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return connect(t, socket), calls
}

func connect(t *testing.T, socket string) *engine.Client {
	t.Helper()
	c, err := engine.Connect("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// made is a container that has been created.
func made(t *testing.T, c *engine.Client, spec engine.Spec) string {
	t.Helper()
	id, err := c.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestContainerRunsUntilStopped(t *testing.T) {
	c, calls := connected(t)
	ctx := t.Context()
	id := made(t, c, engine.Spec{Name: "a", Image: "i", Labels: map[string]string{"k": "v"}})
	if _, err := c.Create(ctx, engine.Spec{Name: "a", Image: "i"}); !errdefs.IsConflict(err) {
		t.Errorf("a second container of the name: %v, want ErrConflict", err)
	}
	if err := c.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	ended := make(chan engine.State, 1)
	go func() {
		state, err := c.Wait(ctx, id)
		if err != nil {
			t.Errorf("Wait(): %v", err)
		}
		ended <- state
	}()
	if seen, err := c.Inspect(ctx, "a"); err != nil || !seen.State.Alive() || seen.ID != id {
		t.Errorf("Inspect() = %+v, %v, want it running", seen, err)
	}
	if err := c.Rename(ctx, id, "b"); err != nil {
		t.Error(err)
	}
	var log bytes.Buffer
	if err := c.Logs(ctx, "b", engine.LogOptions{}, &log); err != nil || log.String() != "hello\n" {
		t.Errorf("Logs() = %q, %v", log.String(), err)
	}
	select {
	case state := <-ended:
		t.Errorf("it ended by itself: %+v", state)
	default:
	}
	if err := c.Stop(ctx, id, time.Second); err != nil {
		t.Error(err)
	}
	if state := <-ended; state.ExitCode != 143 || state.Status != engine.StatusExited {
		t.Errorf("it ended with %+v, want 143", state)
	}
	for label, want := range map[string]int{"k=v": 1, "k": 1, "k=w": 0, "l": 0} {
		if found, err := c.List(ctx, label); err != nil || len(found) != want {
			t.Errorf("List(%q) = %v, %v, want %d", label, found, err, want)
		}
	}
	if err := c.Remove(ctx, id); err != nil {
		t.Error(err)
	}
	if _, err := c.Inspect(ctx, id); !errdefs.IsNotFound(err) {
		t.Errorf("Inspect() of one that is gone: %v, want ErrNotFound", err)
	}
	if err := calls.problems(); err != nil {
		t.Error(err)
	}
}

func TestContainerWithoutWork(t *testing.T) {
	c, _ := connected(t)
	id := made(t, c, engine.Spec{Image: "i", Entrypoint: initapi.TrueCommand()})
	if err := c.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if state, err := c.Wait(t.Context(), id); err != nil || state.ExitCode != 0 {
		t.Errorf("Wait() = %+v, %v, want 0", state, err)
	}
}

func TestSandbox(t *testing.T) {
	c, calls := connected(t)
	ctx := t.Context()
	if err := c.CreateNetwork(ctx, engine.NetworkSpec{Name: "n", Subnet: "10.0.0.16/28", Labels: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := made(t, c, engine.Spec{Name: "s", Image: "i", Network: "n", Mounts: []engine.Mount{{Source: "/x", Target: "/y"},
		{Source: dir, Target: initapi.FolderPath}}})
	if err := c.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	inner := connect(t, filepath.Join(dir, initapi.EngineSocket))
	if err := poll(ctx, "wait for the engine in the sandbox", func() error {
		if inner.Ping(ctx) != nil {
			return errNotYet
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	init := initapi.NewClient(dir)
	if state, err := init.Status(ctx); err != nil || state.Standby {
		t.Errorf("Status() = %+v, %v, want one whose engine was started", state, err)
	}
	if path, err := init.Pin(ctx, "c/0", initapi.Source{}); err != nil || path != "/run/docker-sd/pins/c/0" {
		t.Errorf("Pin() = %q, %v", path, err)
	}
	if err := calls.problems(); err != nil {
		t.Error(err)
	}
	if err := init.Start(ctx, true); !errdefs.IsNotImplemented(err) || calls.problems() == nil {
		t.Errorf("Start() where nothing stands by = %v, and nobody noticed", err)
	}
	if seen, err := c.Inspect(ctx, id); err != nil || seen.IPs["n"] != "10.0.0.18" {
		t.Errorf("Inspect() = %+v, %v, want the address behind the gateway", seen.IPs, err)
	}
	if image, err := inner.Image(ctx, "ghcr.io/o/i:1"); err != nil || image.ID != imageID || image.Tags[0] != "ghcr.io/o/i:1" {
		t.Errorf("Image() = %+v, %v", image, err)
	}
	container := made(t, inner, engine.Spec{Name: "c", Image: imageID})
	if err := inner.Start(ctx, container); err != nil {
		t.Error(err)
	}
	if n := calls.take()["sandbox POST /containers/{id}/start"]; n != 1 {
		t.Errorf("%d starts in the sandbox were counted, want 1", n)
	}
	if err := c.Remove(ctx, id); err != nil {
		t.Error(err)
	}
	if _, err := inner.Wait(ctx, container); err == nil {
		t.Error("the engine in a removed sandbox answers")
	}
	networks, err := c.ListNetworks(ctx, "k=v")
	if err != nil || len(networks) != 1 || networks[0].Subnet != "10.0.0.16/28" {
		t.Fatalf("ListNetworks() = %+v, %v", networks, err)
	}
	if err := c.RemoveNetwork(ctx, networks[0].ID); err != nil {
		t.Error(err)
	}
}

func TestUnexpectedCall(t *testing.T) {
	c, calls := connected(t)
	if _, err := c.Exec(t.Context(), "x", []string{"ls"}, &bytes.Buffer{}); err == nil {
		t.Error("an exec succeeded")
	}
	if calls.problems() == nil {
		t.Error("nobody noticed the exec")
	}
}

func TestPolledCalls(t *testing.T) {
	before := map[string]int{"host GET /containers/json": 4, "sandbox GET /containers/{id}/json": 2}
	for name, c := range map[string]struct {
		after map[string]int
		took  time.Duration
		want  []string
	}{
		"nothing":           {before, 0, nil},
		"signs of life":     {map[string]int{"host GET /_ping": 9, "sandbox POST /containers/{id}/wait": 9}, 0, nil},
		"a sweep":           {map[string]int{"host GET /containers/json": 5, "host GET /networks": 1}, time.Second, nil},
		"more than a sweep": {map[string]int{"host GET /containers/json": 6}, time.Second, []string{"1 x host GET /containers/json"}},
		"sweeps of minutes": {map[string]int{"host GET /containers/json": 6}, time.Minute, nil},
		"an inspect":        {map[string]int{"sandbox GET /containers/{id}/json": 3}, time.Hour, []string{"1 x sandbox GET /containers/{id}/json"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, polledCalls(before, c.after, c.took)); diff != "" {
				t.Errorf("polledCalls() (-want +got):\n%s", diff)
			}
		})
	}
}
