//go:build e2e

package e2e_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// flakyEngine stands between a daemon and the real engine and fails as engines
// do. Everything passes through until it is told otherwise.
type flakyEngine struct {
	host     string
	listener net.Listener
	upstream func() (net.Conn, error)
	work     sync.WaitGroup

	mu sync.Mutex
	// open is closed when bytes may pass.
	open   chan struct{}
	refuse bool
	delay  time.Duration
	conns  map[net.Conn]bool
}

// newFlakyEngine listens in a folder that must be short.
func newFlakyEngine(t *testing.T, dir string) *flakyEngine {
	t.Helper()
	path := filepath.Join(dir, "engine.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f := &flakyEngine{host: "unix://" + path, listener: listener, upstream: suite.engine.dial,
		open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(f.open)
	f.work.Go(f.accept)
	t.Cleanup(func() {
		listener.Close()
		f.heal()
		f.cut()
		f.work.Wait()
	})
	return f
}

func (f *flakyEngine) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.work.Go(func() { f.serve(conn) })
	}
}

func (f *flakyEngine) serve(client net.Conn) {
	defer client.Close()
	if !f.track(client) {
		return
	}
	defer f.forget(client)
	engine, err := f.upstream()
	if err != nil {
		return
	}
	defer engine.Close()
	f.track(engine)
	defer f.forget(engine)
	var both sync.WaitGroup
	both.Go(func() { f.copy(engine, client, true) })
	both.Go(func() { f.copy(client, engine, false) })
	both.Wait()
}

// copy ends the other direction with itself: no half of a connection is left.
func (f *flakyEngine) copy(to, from net.Conn, request bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			f.wait(request)
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (f *flakyEngine) wait(request bool) {
	f.mu.Lock()
	open, delay := f.open, f.delay
	f.mu.Unlock()
	if request && delay > 0 {
		<-time.After(delay)
	}
	<-open
}

func (f *flakyEngine) track(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse {
		return false
	}
	f.conns[c] = true
	return true
}

func (f *flakyEngine) forget(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// hang has the engine accept everything and answer nothing.
func (f *flakyEngine) hang() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = make(chan struct{})
}

// slow has each piece of a request take its time.
func (f *flakyEngine) slow(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// cut breaks off all that is under way.
func (f *flakyEngine) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// reset breaks everything off and lets nobody in.
func (f *flakyEngine) reset() {
	f.mu.Lock()
	f.refuse = true
	f.mu.Unlock()
	f.cut()
}

// heal ends all faults.
func (f *flakyEngine) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse, f.delay = false, 0
	select {
	case <-f.open:
	default:
		close(f.open)
	}
}

// behindFlaky starts a daemon whose engine can be made to fail.
func behindFlaky(t *testing.T, pool int, settings map[string]any) (*daemon, *flakyEngine) {
	t.Helper()
	// What is made by a call whose answer was cut off goes with the next sweep.
	all := map[string]any{"AVAILABLEDINDS": pool, "StrayGracePeriod": "1s"}
	for key, value := range settings {
		all[key] = value
	}
	d := prepareDaemon(t, all)
	f := newFlakyEngine(t, d.dir)
	d.Env = append(d.Env, "DOCKER_HOST="+f.host)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	d.endsSwept(t)
	t.Cleanup(f.heal)
	return d, f
}

// endsSwept has the daemon leave nothing once a sweep has passed, and then stops
// it: what an engine made whose answer was lost is nobody's until then.
func (d *daemon) endsSwept(t *testing.T) {
	t.Cleanup(func() {
		if !d.Running() {
			return
		}
		eventually(t, runLimit, "nothing is left", func() bool {
			left, err := d.leftovers(context.Background())
			return err == nil && len(left) == 0
		}, d.log.String)
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
}

// quickly fails the test when a call that needs no engine takes long.
func quickly(t *testing.T, what string, call func()) {
	t.Helper()
	began := time.Now()
	call()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%s took %s while the engine did not answer", what, took)
	}
}

// countLines counts those of a log with a text.
func countLines(log *kit.Log, text string) int { return strings.Count(log.About(text), "\n") }
