package sandboxtest

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Engines are what runs in sandboxes, by their folders: a small part of the
// Docker API, and an init. Their goroutines live outside the bubble of a test with a
// fake clock: one that waits for a connection would keep that clock from advancing. For
// the same reason a connection serves one request.
type Engines struct {
	ask  chan func() error
	done chan error

	turn sync.Mutex

	mu      sync.Mutex
	servers map[string]*http.Server
	inits   map[string]*fakeInit
	seen    []string
	// state is what inits say of their sandboxes, beside whether they stand by.
	state func() initapi.State
	// listed is the answer to a list of containers, none of them if empty.
	listed string
}

// Say has inits answer with a state that is asked for each time.
func (e *Engines) Say(state func() initapi.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = state
}

// Answer starts the engine of a sandbox of a mute host.
func (e *Engines) Answer(dir string) error { return e.outside(func() error { return e.serve(dir) }) }

// List sets the answer of the engines to a list of containers, in JSON.
func (e *Engines) List(containers string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listed = containers
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// StartEngines has them end with the test.
func StartEngines(t *testing.T) *Engines {
	t.Helper()
	e := &Engines{ask: make(chan func() error), done: make(chan error), servers: map[string]*http.Server{}, inits: map[string]*fakeInit{}}
	var worker sync.WaitGroup
	worker.Go(func() {
		for f := range e.ask {
			e.done <- f()
		}
	})
	t.Cleanup(func() {
		close(e.ask)
		worker.Wait()
		for dir := range e.inits {
			e.close(dir)
		}
	})
	return e
}

func (e *Engines) outside(f func() error) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.ask <- f
	return <-e.done
}

// boot starts what a sandbox's container runs. The engine of a standby is left for
// OpStart.
func (e *Engines) boot(dir string, standby, answers bool) error {
	return e.outside(func() error {
		listener, err := net.Listen("unix", filepath.Join(dir, initapi.SocketName))
		if err != nil {
			return err
		}
		one := &fakeInit{listener: listener, standby: standby, state: e.said, start: func() error {
			if !answers {
				return nil
			}
			return e.serve(dir)
		}}
		e.mu.Lock()
		e.inits[dir] = one
		e.mu.Unlock()
		one.serving.Go(one.serve)
		if standby {
			return nil
		}
		return one.start()
	})
}

func (e *Engines) said() initapi.State {
	e.mu.Lock()
	say := e.state
	e.mu.Unlock()
	if say == nil {
		return initapi.State{}
	}
	return say()
}

func (e *Engines) serve(dir string) error {
	listener, err := net.Listen("unix", filepath.Join(dir, initapi.EngineSocket))
	if err != nil {
		return err
	}
	var imported atomic.Bool
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.answer(w, r, &imported) })}
	server.SetKeepAlivesEnabled(false)
	e.mu.Lock()
	e.servers[dir] = server
	e.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // until it is closed
	return nil
}

// Stop ends all that runs in a sandbox.
func (e *Engines) Stop(dir string) {
	_ = e.outside(func() error { return e.close(dir) })
}

func (e *Engines) close(dir string) error {
	e.mu.Lock()
	one := e.inits[dir]
	delete(e.inits, dir)
	e.mu.Unlock()
	if one == nil {
		return nil
	}
	// First what may start an engine.
	err := one.listener.Close()
	one.serving.Wait()
	e.mu.Lock()
	server := e.servers[dir]
	delete(e.servers, dir)
	e.mu.Unlock()
	if server != nil {
		err = errors.Join(err, server.Close())
	}
	return err
}

// Woken lists what a sandbox's init was told as its engine was asked for: whether the
// images are still the host's.
func (e *Engines) Woken(dir string) []bool {
	e.mu.Lock()
	one := e.inits[dir]
	e.mu.Unlock()
	if one == nil {
		return nil
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return slices.Clone(one.woken)
}

// fakeInit is the init of a sandbox as the pool sees it.
type fakeInit struct {
	listener net.Listener
	serving  sync.WaitGroup
	start    func() error
	state    func() initapi.State

	mu      sync.Mutex
	standby bool
	woken   []bool
}

func (f *fakeInit) serve() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		var request initapi.Request
		if err := json.NewDecoder(conn).Decode(&request); err == nil {
			_ = json.NewEncoder(conn).Encode(f.do(request)) // a caller that has left asks again
		}
		conn.Close()
	}
}

func (f *fakeInit) do(r initapi.Request) initapi.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := initapi.Answer{Version: initapi.Version}
	switch {
	case r.Op == initapi.OpStatus:
		state := f.state()
		state.Standby = f.standby
		out.State = &state
	case r.Op == initapi.OpStart && f.standby:
		f.standby, f.woken = false, append(f.woken, r.Current)
		if err := f.start(); err != nil {
			out.Error = &initapi.Error{Kind: initapi.KindFailed, Message: err.Error()}
		}
	case r.Op == initapi.OpStart:
	default:
		out.Error = &initapi.Error{Kind: initapi.KindUnknown, Message: "the pool asks for " + r.Op}
	}
	return out
}

// Calls that began with the prefix, such as "POST /containers/create".
func (e *Engines) Calls(prefix string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, call := range e.seen {
		if strings.HasPrefix(call, prefix) {
			n++
		}
	}
	return n
}

// answer for an engine that has every image but the one without files, until it is
// imported.
func (e *Engines) answer(w http.ResponseWriter, r *http.Request, imported *atomic.Bool) {
	path := r.URL.Path
	if rest, versioned := strings.CutPrefix(path, "/v"); versioned {
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	e.mu.Lock()
	e.seen = append(e.seen, r.Method+" "+path)
	e.mu.Unlock()
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case path == "/_ping":
	case path == "/images/create":
		imported.Store(r.URL.Query().Get("fromSrc") == "-")
		write(w, `{"status":"sha256:empty"}`)
	case strings.HasPrefix(path, "/images/docker-sd.invalid/empty") && !imported.Load():
		w.WriteHeader(http.StatusNotFound)
		write(w, `{"message":"No such image"}`)
	case path == "/containers/json":
		e.mu.Lock()
		defer e.mu.Unlock()
		write(w, orElse(e.listed, "[]"))
	case path == "/containers/create":
		w.WriteHeader(http.StatusCreated)
		write(w, `{"Id":"primer"}`)
	case strings.HasSuffix(path, "/wait"):
		write(w, `{"StatusCode":0}`)
	case strings.HasSuffix(path, "/json"):
		write(w, `{"Id":"primer","State":{"Status":"exited"}}`)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// write answers a caller, which may have left.
func write(w io.Writer, text string) { _, _ = io.WriteString(w, text) }
