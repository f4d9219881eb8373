package engine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
)

// start makes an engine with one image, and a client for it.
func start(t *testing.T) (*enginetest.Engine, *engine.Client) {
	t.Helper()
	e := enginetest.Start(t)
	e.AddImage(enginetest.Image{Tags: []string{"base:1"}, Cmd: []string{"sh"}, User: "7", Env: []string{"A=b"}, Layers: []string{"top", "below"}})
	return e, connect(t, e)
}

func connect(t *testing.T, e *enginetest.Engine) *engine.Client {
	t.Helper()
	c, err := engine.Connect(e.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// run makes and starts a container.
func run(t *testing.T, c *engine.Client, spec engine.Spec) string {
	t.Helper()
	if spec.Image == "" {
		spec.Image = "base:1"
	}
	id, err := c.Create(t.Context(), spec)
	if err == nil {
		err = c.Start(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCutConnection: an engine that breaks off a call is away, whether it has done what
// was asked for or not; who asks again finds what it made.
func TestCutConnection(t *testing.T) {
	for name, at := range map[string]enginetest.Moment{"before": enginetest.Before, "after": enginetest.After} {
		t.Run(name, func(t *testing.T) {
			e, c := start(t)
			spec := engine.Spec{Name: "web", Image: "base:1"}
			e.Inject(enginetest.Fault{Call: "POST /containers/create", Cut: at})
			if _, err := c.Create(t.Context(), spec); !errdefs.IsUnavailable(err) || engine.NotSent(err) {
				t.Fatalf("Create() = %v", err)
			}
			_, made := e.Snapshot().Containers["web"]
			if made != (at == enginetest.After) {
				t.Errorf("made: %t", made)
			}
			id, err := c.CreateOnce(t.Context(), spec)
			if err != nil || id != e.Snapshot().Containers["web"].ID {
				t.Errorf("CreateOnce() = %q, %v", id, err)
			}
		})
	}
}

// TestCallThatIsHeld ends with its context, and is not carried out then.
func TestCallThatIsHeld(t *testing.T) {
	e, c := start(t)
	held := e.Inject(enginetest.Fault{Call: "POST /containers/create", Hold: enginetest.Before})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := c.Create(ctx, engine.Spec{Name: "web", Image: "base:1"})
		failed <- err
	}()
	held.AwaitCall()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Create() = %v", err)
	}
	if made := e.Snapshot().Containers; len(made) > 0 {
		t.Errorf("it made %v", made)
	}
	e.Fail("POST /containers/create", http.StatusInternalServerError, "no space left on device").Skip = 1
	run(t, c, engine.Spec{Name: "first"})
	if _, err := c.Create(t.Context(), engine.Spec{Name: "second", Image: "base:1"}); !errdefs.IsInternal(err) {
		t.Errorf("the second Create() = %v", err)
	}
}

// TestWaitThroughARestart: the engine is away, and tells how the container ended when it
// is back.
func TestWaitThroughARestart(t *testing.T) {
	e, c := start(t)
	id := run(t, c, engine.Spec{Name: "web"})
	waited := make(chan error)
	wait := func() { _, err := c.Wait(t.Context(), id); waited <- err }
	go wait()
	e.Await("somebody waits", func(s enginetest.Snapshot) bool { return slices.Contains(s.Calls, "POST /containers/web/wait") })
	path := e.Down()
	if err := <-waited; !errdefs.IsUnavailable(err) {
		t.Errorf("Wait() = %v", err)
	}
	if err := c.Start(t.Context(), id); !errdefs.IsUnavailable(err) || !engine.NotSent(err) {
		t.Errorf("Start() = %v", err)
	}
	e.Kill(255)
	if err := e.Listen(path); err != nil {
		t.Fatal(err)
	}
	if state, err := c.Wait(t.Context(), id); err != nil || state.ExitCode != 255 || state.Alive() {
		t.Errorf("Wait() = %+v, %v", state, err)
	}
	e.Wipe()
	if _, err := c.Wait(t.Context(), id); !errdefs.IsNotFound(err) {
		t.Errorf("Wait() = %v after the data root is gone", err)
	}
}

// TestRemoveBySomebodyElse: a removal that is under way is waited for.
func TestRemoveBySomebodyElse(t *testing.T) {
	e, c := start(t)
	id := run(t, c, engine.Spec{Name: "web"})
	e.Fail("DELETE /containers/web", http.StatusConflict, "removal of container web is already in progress")
	removed := make(chan error)
	go func() { removed <- c.Remove(t.Context(), id) }()
	e.Await("the end is waited for", func(s enginetest.Snapshot) bool { return slices.Contains(s.Calls, "POST /containers/web/wait") })
	e.Lose("web")
	if err := <-removed; err != nil {
		t.Errorf("Remove() = %v", err)
	}
}

// TestFollowedLog ends with its container, and has all lines.
func TestFollowedLog(t *testing.T) {
	e, c := start(t)
	long := strings.Repeat("x", 40<<10) + "\n"
	id := run(t, c, engine.Spec{Name: "web"})
	e.Write("web", 1, "one\n")
	var out bytes.Buffer
	followed := make(chan error)
	go func() { followed <- c.Logs(t.Context(), id, engine.LogOptions{Follow: true}, &out) }()
	e.Await("its log is read", func(s enginetest.Snapshot) bool { return slices.Contains(s.Calls, "GET /containers/web/logs") })
	e.Write("web", 2, long)
	e.Exit("web", 0)
	if err := <-followed; err != nil || out.String() != "one\n"+long {
		t.Errorf("%v, %d bytes", err, out.Len())
	}
	out.Reset()
	if err := c.Logs(t.Context(), id, engine.LogOptions{Tail: 1}, &out); err != nil || out.String() != long {
		t.Errorf("the last line: %v, %d bytes", err, out.Len())
	}
}

func TestRanOutOfMemory(t *testing.T) {
	e, c := start(t)
	began := time.Now()
	for name, memory := range map[string]bool{"greedy": true, "modest": false} {
		id := run(t, c, engine.Spec{Name: name})
		if memory {
			e.RunOutOfMemory(name, true)
		} else {
			e.Exit(name, 137)
		}
		state, err := c.Wait(t.Context(), id)
		if err != nil || state.ExitCode != 137 || state.OOMKilled != memory {
			t.Errorf("%s: %+v, %v", name, state, err)
		}
		if got, err := c.RanOutOfMemory(t.Context(), id, began, 0); got != memory || err != nil {
			t.Errorf("RanOutOfMemory(%s) = %t, %v", name, got, err)
		}
	}
}

// TestExecEndsWithItsContainer: a process beside a container's own ends with that.
func TestExecEndsWithItsContainer(t *testing.T) {
	e, c := start(t)
	id := run(t, c, engine.Spec{Name: "web"})
	begun := make(chan struct{})
	e.Program("beside", func(p *enginetest.Process) int {
		_, _ = io.WriteString(p.Stdout, "begun")
		close(begun)
		<-p.Done().Done()
		return 0
	})
	var out bytes.Buffer
	ended := make(chan int)
	go func() {
		code, err := c.Exec(t.Context(), id, []string{"beside"}, &out)
		if err != nil {
			t.Error(err)
		}
		ended <- code
	}()
	<-begun
	e.Exit("web", 0)
	if code := <-ended; code != 137 {
		t.Errorf("it ended with %d", code)
	}
}

// TestImages: what comes, gets names, and goes.
func TestImages(t *testing.T) {
	e, c := start(t)
	ctx := t.Context()
	seen, err := c.Image(ctx, "base:1")
	if err != nil || seen.User != "7" || !slices.Equal(seen.Env, []string{"A=b"}) || !slices.Equal(seen.Layers, []string{"top", "below"}) {
		t.Errorf("Image() = %+v, %v", seen, err)
	}
	if err := c.TagImage(ctx, seen.ID, "hold/base:2"); err != nil {
		t.Error(err)
	}
	tagged, err := c.TaggedImages(ctx, "hold/base")
	if err != nil || len(tagged) != 1 || tagged["hold/base:2"] != seen.ID {
		t.Errorf("TaggedImages() = %v, %v", tagged, err)
	}
	id := run(t, c, engine.Spec{Name: "web"})
	if err := c.RemoveImage(ctx, "base:1"); err != nil {
		t.Errorf("RemoveImage() of one name of two = %v", err)
	}
	if err := c.RemoveImage(ctx, "hold/base:2"); !errdefs.IsConflict(err) {
		t.Errorf("RemoveImage() of the last name in use = %v", err)
	}
	if err := errors.Join(c.Remove(ctx, id), c.DropImage(ctx, seen.ID), c.DropImage(ctx, seen.ID)); err != nil {
		t.Error(err)
	}
	if err := c.ImportEmpty(ctx, "empty:1"); err != nil {
		t.Error(err)
	}
	all, err := c.Images(ctx)
	if err != nil || len(all) != 1 || !slices.Equal(all[0].Tags, []string{"empty:1"}) {
		t.Errorf("Images() = %+v, %v", all, err)
	}
	other := enginetest.Start(t)
	if copied, err := c.CopyImage(ctx, connect(t, other), "empty:1"); err != nil || copied != all[0].ID {
		t.Errorf("CopyImage() = %s, %v", copied, err)
	}
	if len(other.Images()) != 1 || len(e.Images()) != 1 {
		t.Errorf("images: %v, and %v", e.Images(), other.Images())
	}
}

// TestRegistry: what it has, refuses, and has later.
func TestRegistry(t *testing.T) {
	e, c := start(t)
	ctx := t.Context()
	if err := c.Pull(ctx, "site/app:1", engine.Credentials{}, nil); !errdefs.IsNotFound(err) || !errdefs.IsPermissionDenied(err) {
		t.Errorf("Pull() of nothing = %v", err)
	}
	if err := c.ConfirmImage(ctx, "site/app:1", engine.Credentials{}); !errdefs.IsPermissionDenied(err) {
		t.Errorf("ConfirmImage() of nothing = %v", err)
	}
	e.Refuse("site/app:1", "Get https://site/: net/http: TLS handshake timeout")
	if err := c.Pull(ctx, "site/app:1", engine.Credentials{}, nil); !errdefs.IsInternal(err) || errdefs.IsPermissionDenied(err) {
		t.Errorf("Pull() of a registry in trouble = %v", err)
	}
	e.Offer(enginetest.Image{Tags: []string{"site/app:1"}, Size: 99})
	var last engine.PullProgress
	err := c.Pull(ctx, "site/app:1", engine.Credentials{User: "me", Password: "secret"}, func(p engine.PullProgress) { last = p })
	if err != nil || last.Done != 99 || !last.Unpacking {
		t.Errorf("Pull() = %v, %+v", err, last)
	}
	if err := c.ConfirmImage(ctx, "site/app:1", engine.Credentials{}); err != nil {
		t.Errorf("ConfirmImage() = %v", err)
	}
	if seen, err := c.Image(ctx, "site/app:1"); err != nil || seen.Size != 99 {
		t.Errorf("Image() = %+v, %v", seen, err)
	}
}

// TestImageEvents: they are told, and their end is noticed.
func TestImageEvents(t *testing.T) {
	e, c := start(t)
	arrived, ended := make(chan struct{}, 9), make(chan error)
	go func() {
		ended <- c.WatchImages(t.Context(), time.Now().Add(-time.Minute), 0, func() { arrived <- struct{}{} })
	}()
	e.Await("events are read", func(s enginetest.Snapshot) bool { return slices.Contains(s.Calls, "GET /events") })
	if err := c.TagImage(t.Context(), "base:1", "base:2"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	e.Restart()
	if err := <-ended; err == nil {
		t.Error("the end of the stream is no error")
	}
}

// TestVolumes: those of a container are in use until it goes, and only named ones stay.
func TestVolumes(t *testing.T) {
	e, c := start(t)
	ctx := t.Context()
	id := run(t, c, engine.Spec{Name: "web", Mounts: []engine.Mount{
		{Source: "named", Target: "/a", Volume: true, Instance: "me"}, {Target: "/b", Volume: true, Instance: "me"}}})
	if made := e.Snapshot().Volumes; len(made) != 2 {
		t.Errorf("volumes: %v", made)
	}
	if unused, err := c.UnusedVolumes(ctx, engine.LabelInstance+"=me"); err != nil || len(unused) != 0 {
		t.Errorf("UnusedVolumes() = %v, %v", unused, err)
	}
	if err := c.RemoveVolume(ctx, "named"); !errdefs.IsConflict(err) {
		t.Errorf("RemoveVolume() = %v", err)
	}
	if err := c.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	unused, err := c.UnusedVolumes(ctx, engine.LabelInstance+"=me")
	if err != nil || len(unused) != 1 || unused[0].Name != "named" || unused[0].Path == "" {
		t.Errorf("UnusedVolumes() = %+v, %v", unused, err)
	}
	if err := errors.Join(c.RemoveVolume(ctx, "named"), c.RemoveVolume(ctx, "named")); err != nil {
		t.Error(err)
	}
}

// TestNetworks: an address belongs to a container that runs.
func TestNetworks(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	if err := c.CreateNetwork(ctx, engine.NetworkSpec{Name: "n", Subnet: "10.1.0.0/28", Bridge: "br0", Labels: map[string]string{"l": "v"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateNetwork(ctx, engine.NetworkSpec{Name: "m", Bridge: "br0"}); !errdefs.IsUnavailable(err) {
		t.Errorf("an interface that is taken: %v", err)
	}
	id := run(t, c, engine.Spec{Name: "web", Network: "none"})
	if err := errors.Join(c.Join(ctx, "n", id), c.Join(ctx, "n", id)); err != nil {
		t.Fatal(err)
	}
	seen, err := c.Inspect(ctx, id)
	if err != nil || seen.IPs["n"] != "10.1.0.2" || len(seen.IPs) != 1 {
		t.Errorf("addresses: %v, %v", seen.IPs, err)
	}
	if err := c.RemoveNetwork(ctx, "n"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("RemoveNetwork() in use = %v", err)
	}
	found, err := c.ListNetworks(ctx, "l=v")
	if err != nil || len(found) != 1 || found[0].Bridge != "br0" || found[0].Subnet != "10.1.0.0/28" {
		t.Errorf("ListNetworks() = %+v, %v", found, err)
	}
	if err := errors.Join(c.Stop(ctx, id, time.Minute), c.RemoveNetwork(ctx, "n"), c.RemoveNetwork(ctx, "n")); err != nil {
		t.Error(err)
	}
}

// TestBounds: what a container was given, and is given later.
func TestBounds(t *testing.T) {
	e, c := start(t)
	resources := engine.Resources{NanoCPUs: 1e9, MemoryBytes: 1 << 20, PidsLimit: 7}
	id := run(t, c, engine.Spec{Name: "web", Resources: resources})
	if err := c.Update(t.Context(), id, engine.Bounds{MemoryBytes: 2 << 20}); err != nil {
		t.Fatal(err)
	}
	e.SetWritten("web", 42)
	seen, err := c.Inspect(t.Context(), id)
	want := resources.Bounds()
	want.MemoryBytes = 2 << 20
	if err != nil || seen.Bounds != want || !seen.State.Alive() {
		t.Errorf("Inspect() = %+v, %v", seen, err)
	}
	e.Pause("web", true)
	if seen, err = c.Inspect(t.Context(), id); err != nil || seen.State.Status != engine.StatusPaused || !seen.State.Alive() {
		t.Errorf("Inspect() of a paused one = %+v, %v", seen.State, err)
	}
	if written, err := c.WrittenBytes(t.Context(), id); err != nil || written != 42 {
		t.Errorf("WrittenBytes() = %d, %v", written, err)
	}
	if info, err := c.Info(t.Context()); err != nil || !info.Seccomp || info.AppArmor || info.CPUs != 8 {
		t.Errorf("Info() = %+v, %v", info, err)
	}
}
