// Package enginetest is a Docker engine in memory, for unit tests: it speaks the part of
// the Docker API that pkg/engine uses, over a unix socket. Its containers are entries in
// a table. No process runs in them: a [Program] of the test stands for it, or nothing but
// the test's own calls. The engine can fail, delay and forget on request; see [Fault].
// tests/e2e runs one table of calls against it and against a real engine.
package enginetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// apiVersion that the engine offers.
const apiVersion = "1.44"

// Patience bounds every wait of this package for something that a test expects.
const Patience = 20 * time.Second

// T is what an engine needs of the test that it is made for. testing.TB has it, and so has a
// program that has no test.
type T interface {
	Helper()
	Cleanup(f func())
	Failed() bool
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Engine in memory. Its methods may be called from any goroutine but that of a Program,
// except where they say so.
type Engine struct {
	t        T
	routes   *http.ServeMux
	programs sync.WaitGroup

	// turn serialises Listen, Down and close.
	turn sync.Mutex
	// server is nil while the engine is down.
	server *server

	mu sync.Mutex
	// changed is closed, and replaced, whenever anything below it changes.
	changed    chan struct{}
	made       int
	last       time.Time
	program    map[string]Program
	faults     []*Fault
	calls      []string
	containers map[string]*container
	networks   map[string]*network
	volumes    map[string]*volume
	execs      map[string]*execution
	images     []*image
	registry   map[string]offer
	events     []event
}

// New makes an engine that does not listen yet. It ends with the test.
func New(t T) *Engine {
	e := &Engine{t: t, changed: make(chan struct{}), program: builtIn(), registry: map[string]offer{}}
	e.empty()
	e.routes = e.router()
	t.Cleanup(func() {
		e.close()
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, f := range e.faults {
			if !f.fired && !t.Failed() {
				t.Errorf("a fault waited for %s in vain", f.Call)
			}
		}
	})
	return e
}

// Start is New with an engine that listens on a socket of its own.
func Start(t T) *Engine {
	t.Helper()
	// t.TempDir is longer than the path of a socket may be.
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // it holds a socket
	e := New(t)
	if err := e.Listen(filepath.Join(dir, "docker.sock")); err != nil {
		t.Fatal(err)
	}
	return e
}

// server is what listens at one time.
type server struct {
	http     http.Server
	path     string
	serving  sync.WaitGroup
	gone     context.Context
	leave    context.CancelFunc
	handlers sync.WaitGroup
	// door is held while a call comes in, and while the engine goes.
	door sync.Mutex
}

// enter counts a call, unless the engine has gone.
func (s *server) enter() bool {
	s.door.Lock()
	defer s.door.Unlock()
	if s.gone.Err() != nil {
		return false
	}
	s.handlers.Add(1)
	return true
}

// Listen starts to answer at a path. An engine that listens already does not do it twice.
func (e *Engine) Listen(path string) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	if e.server != nil {
		return errors.New("the engine listens already")
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("serve an engine: %w", err)
	}
	e.see()
	s := &server{path: path}
	s.gone, s.leave = context.WithCancel(context.Background())
	s.http = http.Server{Handler: e.handler(s), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	s.serving.Go(func() { _ = s.http.Serve(listener) }) // it ends with ErrServerClosed
	e.server = s
	return nil
}

// Address of the engine as engine.Connect takes it.
func (e *Engine) Address() string {
	e.turn.Lock()
	defer e.turn.Unlock()
	if e.server == nil {
		e.t.Error("the engine does not listen")
		return ""
	}
	return "unix://" + e.server.path
}

// Down ends the engine's process: every connection is cut, and nothing answers until
// Listen. Containers run on, as with --live-restore. It returns the socket's path.
func (e *Engine) Down() string {
	e.turn.Lock()
	defer e.turn.Unlock()
	s := e.server
	if s == nil {
		return ""
	}
	e.server = nil
	s.door.Lock()
	s.leave()
	s.door.Unlock()
	_ = s.http.Close()
	s.serving.Wait()
	s.handlers.Wait()
	return s.path
}

// Restart is Down, and Listen at the same place.
func (e *Engine) Restart() {
	e.t.Helper()
	if err := e.Listen(e.Down()); err != nil {
		e.t.Error(err)
	}
}

// Kill ends all containers that run with a code, as when the engine's host goes down or
// an engine without --live-restore starts again. An engine that is down sees it when it
// listens again: that is when they have ended for it.
func (e *Engine) Kill(code int) {
	e.turn.Lock()
	down := e.server == nil
	e.turn.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range slices.Collect(maps.Values(e.containers)) {
		if c.alive() {
			e.exit(c, code)
			c.unseen = down
		}
	}
}

// see what has ended while the engine was down.
func (e *Engine) see() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.unseen {
			c.unseen, c.state.finished = false, e.now()
		}
	}
}

// Wipe has the engine forget all that it knows, as one does whose data root was removed.
// What runs is killed.
func (e *Engine) Wipe() {
	e.Kill(sigkilled)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.empty()
	e.broadcast()
}

// empty forgets everything but what a registry has; the lock is held.
func (e *Engine) empty() {
	e.containers, e.volumes, e.execs, e.images = map[string]*container{}, map[string]*volume{}, map[string]*execution{}, nil
	e.networks = map[string]*network{}
	for _, name := range []string{"bridge", "host", "none"} {
		n := &network{ID: e.newID("network " + name), Name: name, Driver: name, Created: e.now()}
		if name == "none" {
			n.Driver = "null"
		}
		if name == "bridge" {
			n.IPAM.Config = []ipamConfig{{Subnet: "172.17.0.0/16"}}
		}
		e.networks[n.ID] = n
	}
}

// close ends the engine, its containers and their programs, and waits for them.
func (e *Engine) close() {
	e.Down()
	e.Kill(sigkilled)
	e.programs.Wait()
}

// broadcast tells everybody who waits that something changed; the lock is held.
func (e *Engine) broadcast() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// until waits, with the lock held before and after, until done says so or ctx ends.
func (e *Engine) until(ctx context.Context, done func() bool) error {
	for !done() {
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		e.mu.Lock()
		if ctx.Err() != nil && !done() {
			return ctx.Err()
		}
	}
	return nil
}

// now never stands still and never goes back; the lock is held.
func (e *Engine) now() time.Time {
	now := time.Now().Round(0).UTC()
	if !now.After(e.last) {
		now = e.last.Add(1)
	}
	e.last = now
	return now
}

// newID is another one at each call; the lock is held.
func (e *Engine) newID(of string) string {
	e.made++
	return digestOf(fmt.Sprintf("%s %d", of, e.made))
}

// digestOf a text, as the digits of an id.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Calls counts the requests that came and match a pattern; see Fault.Call.
func (e *Engine) Calls(pattern string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, call := range e.calls {
		if matches(pattern, call) {
			n++
		}
	}
	return n
}

// Await waits until the engine is in a state, of which check is asked again whenever
// anything changes. check must not call methods of the engine but Snapshot's. The test
// fails if that takes too long.
func (e *Engine) Await(what string, check func(Snapshot) bool) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	e.mu.Lock()
	err := e.until(ctx, func() bool { return check(e.snapshot()) })
	seen := e.snapshot()
	e.mu.Unlock()
	if err != nil {
		e.t.Fatalf("the engine has waited in vain until %s; it has %+v", what, seen)
	}
}

// Snapshot is what an engine has at a moment, by name.
type Snapshot struct {
	Containers map[string]Container
	Networks   []string
	Volumes    []string
	// Calls are all requests so far.
	Calls []string
}

// Snapshot of the engine.
func (e *Engine) Snapshot() Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.snapshot()
}

// snapshot is Snapshot for a caller that holds the lock.
func (e *Engine) snapshot() Snapshot {
	out := Snapshot{Containers: map[string]Container{}, Calls: slices.Clone(e.calls)}
	for _, c := range e.containers {
		out.Containers[c.name] = c.view()
	}
	for _, n := range e.networks {
		if !n.predefined() {
			out.Networks = append(out.Networks, n.Name)
		}
	}
	for name := range e.volumes {
		out.Volumes = append(out.Volumes, name)
	}
	slices.Sort(out.Networks)
	slices.Sort(out.Volumes)
	return out
}
