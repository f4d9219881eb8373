package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// connect is docker-sd's own client for an engine.
func connect(t *testing.T, address string) *engine.Client {
	t.Helper()
	c, err := engine.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// made is a container that has been created and started.
func made(t *testing.T, c *engine.Client, spec engine.Spec) string {
	t.Helper()
	id, err := c.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestSandbox: a sandbox has an init and an engine with the host's images, is counted with
// what runs in it, and takes its engine along when it goes.
func TestSandbox(t *testing.T) {
	h := startHost(10*time.Millisecond, sandboxImage, podImage)
	c, ctx := connect(t, h.engine.Address()), t.Context()
	if err := c.CreateNetwork(ctx, engine.NetworkSpec{Name: "n", Subnet: "10.0.0.16/28"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := made(t, c, engine.Spec{Name: "sandbox", Image: sandboxImage, Network: "n", Entrypoint: []string{initapi.ProgramPath, initapi.CommandBoot},
		Mounts: []engine.Mount{{Source: dir, Target: initapi.FolderPath}}})
	inner := connect(t, "unix://"+filepath.Join(dir, initapi.EngineSocket))
	if err := poll(ctx, "wait for the engine in the sandbox", func() error {
		if inner.Ping(ctx) != nil {
			return errNotYet
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if state, err := initapi.NewClient(dir).Status(ctx); err != nil || state.Standby {
		t.Errorf("Status() = %+v, %v, want one whose engine was started", state, err)
	}
	work := made(t, inner, engine.Spec{Name: "work", Image: podImage, Entrypoint: []string{"/bin/bash"}})
	proof := made(t, inner, engine.Spec{Name: "proof", Image: podImage, Entrypoint: initapi.TrueCommand()})
	if state, err := inner.Wait(ctx, proof); err != nil || state.ExitCode != 0 {
		t.Errorf("the first container of a sandbox: %+v, %v, want 0", state, err)
	}
	if sandboxes, networks, running := h.census(); sandboxes != 1 || networks != 1 || running != 1 {
		t.Errorf("census() = %d, %d, %d, want one of each", sandboxes, networks, running)
	}
	calls := h.calls()
	for call, want := range map[string]int{"host POST /containers/*/start": 1, "host POST /containers/create": 1, "host POST /networks/create": 1,
		"sandbox POST /containers/*/start": 2, "sandbox init " + initapi.OpStatus: 1} {
		if calls[call] != want {
			t.Errorf("%d x %s, want %d", calls[call], call, want)
		}
	}
	if err := c.Remove(ctx, id); err != nil {
		t.Error(err)
	}
	if _, err := inner.Wait(ctx, work); err == nil {
		t.Error("the engine in a removed sandbox answers")
	}
	if sandboxes, networks, running := h.census(); sandboxes != 0 || networks != 1 || running != 0 {
		t.Errorf("census() = %d, %d, %d after the sandbox has gone", sandboxes, networks, running)
	}
	if n := h.calls()["sandbox POST /containers/*/start"]; n != 2 {
		t.Errorf("%d starts in the sandbox are left, want 2: counts do not shrink", n)
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
}

// TestComplaintsOfAHost: what goes wrong on a host, and a call that is not for plain pods,
// fail the run.
func TestComplaintsOfAHost(t *testing.T) {
	h := startHost(0, sandboxImage)
	c := connect(t, h.engine.Address())
	id := made(t, c, engine.Spec{Name: "sandbox", Image: sandboxImage, Entrypoint: []string{initapi.ProgramPath, initapi.CommandBoot}})
	if state, err := c.Wait(t.Context(), id); err != nil || state.ExitCode == 0 {
		t.Errorf("a sandbox without a folder: %+v, %v", state, err)
	}
	var out bytes.Buffer
	if _, err := c.Exec(t.Context(), id, []string{"ls"}, &out); err == nil {
		t.Error("an exec in a container that has ended succeeded")
	}
	err := h.close()
	for _, want := range []string{"sandbox sandbox has no folder", "1 x host POST /containers/*/exec"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("close() = %v, want %q", err, want)
		}
	}
}

func TestPolledCalls(t *testing.T) {
	before := map[string]int{"host GET /containers/json": 4, "sandbox GET /containers/*/json": 2}
	for name, c := range map[string]struct {
		after map[string]int
		took  time.Duration
		want  []string
	}{
		"nothing":           {before, 0, nil},
		"signs of life":     {map[string]int{"host GET /_ping": 9, "host HEAD /_ping": 9, "sandbox POST /containers/*/wait": 9}, 0, nil},
		"a sweep":           {map[string]int{"host GET /containers/json": 5, "host GET /networks": 1}, time.Second, nil},
		"more than a sweep": {map[string]int{"host GET /containers/json": 6}, time.Second, []string{"1 x host GET /containers/json"}},
		"sweeps of minutes": {map[string]int{"host GET /containers/json": 6}, time.Minute, nil},
		"an inspect":        {map[string]int{"sandbox GET /containers/*/json": 3}, time.Hour, []string{"1 x sandbox GET /containers/*/json"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, polledCalls(before, c.after, c.took)); diff != "" {
				t.Errorf("polledCalls() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	for call, want := range map[string]string{
		"GET /_ping":                   "GET /_ping",
		"GET /containers/json":         "GET /containers/json",
		"POST /containers/create":      "POST /containers/create",
		"POST /containers/web/start":   "POST /containers/*/start",
		"GET /images/ghcr.io:o:i/json": "GET /images/*/json",
		"DELETE /networks/n":           "DELETE /networks/*",
	} {
		if got := kindOf(call); got != want {
			t.Errorf("kindOf(%q) = %q, want %q", call, got, want)
		}
	}
}
