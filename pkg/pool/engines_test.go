package pool_test

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// innerEngines serves a small part of the Docker API on sockets. Its goroutines
// live outside the bubble of a test with a fake clock: one that waits for a
// connection would keep that clock from advancing. For the same reason a
// connection serves one request.
type innerEngines struct {
	ask  chan func() error
	done chan error

	turn sync.Mutex

	mu      sync.Mutex
	servers map[string]*http.Server
	seen    []string
}

func startEngines(t *testing.T) *innerEngines {
	t.Helper()
	e := &innerEngines{ask: make(chan func() error), done: make(chan error), servers: map[string]*http.Server{}}
	var worker sync.WaitGroup
	worker.Go(func() {
		for f := range e.ask {
			e.done <- f()
		}
	})
	t.Cleanup(func() {
		close(e.ask)
		worker.Wait()
		for socket := range e.servers {
			e.close(socket)
		}
	})
	return e
}

func (e *innerEngines) outside(f func() error) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.ask <- f
	return <-e.done
}

func (e *innerEngines) serve(socket string) error {
	return e.outside(func() error {
		listener, err := net.Listen("unix", socket)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: http.HandlerFunc(e.answer)}
		server.SetKeepAlivesEnabled(false)
		e.mu.Lock()
		e.servers[socket] = server
		e.mu.Unlock()
		go server.Serve(listener)
		return nil
	})
}

func (e *innerEngines) stop(socket string) {
	_ = e.outside(func() error { return e.close(socket) })
}

func (e *innerEngines) close(socket string) error {
	e.mu.Lock()
	server := e.servers[socket]
	delete(e.servers, socket)
	e.mu.Unlock()
	if server == nil {
		return nil
	}
	return server.Close()
}

// calls that began with the prefix, such as "POST /containers/create".
func (e *innerEngines) calls(prefix string) int {
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

func (e *innerEngines) answer(w http.ResponseWriter, r *http.Request) {
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
	case path == "/containers/create":
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte(`{"Id":"primer"}`))
	case strings.HasSuffix(path, "/wait"):
		w.Write([]byte(`{"StatusCode":0}`))
	case strings.HasSuffix(path, "/json"):
		w.Write([]byte(`{"Id":"primer","State":{"Status":"exited"}}`))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
