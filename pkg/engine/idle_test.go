package engine

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestIdleConnections: parallel calls of one round are made with the connections
// of the round before.
func TestIdleConnections(t *testing.T) {
	const parallel, rounds = 32, 5
	var dials atomic.Int32
	var arrived sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/start") {
			// No call is answered before all are there, so that none can have
			// another's connection.
			arrived.Done()
			arrived.Wait()
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Api-Version", apiVersion)
		io.WriteString(w, "OK")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dials.Add(1)
		}
	}
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	client, err := Connect("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range rounds {
		arrived.Add(parallel)
		var calls sync.WaitGroup
		for range parallel {
			calls.Go(func() {
				if err := client.Start(t.Context(), "x"); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	}
	// A few are not idle yet when the next round begins; with the two that Go keeps idle by
	// itself it would be 152.
	if got := dials.Load(); got > 2*parallel {
		t.Errorf("%d connections for %d rounds of %d calls", got, rounds, parallel)
	}
}

// TestConnectionsOfLogs: a whole log comes over a connection of its own, with a
// large buffer, that is not kept; one that is followed, which has no use for
// such a buffer, over one that calls use too.
func TestConnectionsOfLogs(t *testing.T) {
	var from string
	client, fake := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/start": func(w http.ResponseWriter, r *http.Request) {
			from = r.RemoteAddr
			w.WriteHeader(http.StatusNoContent)
		},
		"GET /containers/x/logs": func(_ http.ResponseWriter, r *http.Request) { from = r.RemoteAddr },
	})
	start := func() error { return client.Start(t.Context(), "x") }
	read := func(o LogOptions) func() error {
		return func() error { return client.Logs(t.Context(), "x", o, io.Discard) }
	}
	by := func(call func() error) string {
		if err := call(); err != nil {
			t.Fatal(err)
		}
		return from
	}
	calls := by(start)
	if got := by(read(LogOptions{Follow: true})); got != calls {
		t.Errorf("a followed log has a connection of its own, %s, not %s", got, calls)
	}
	whole := by(read(LogOptions{}))
	if whole == calls {
		t.Error("a whole log came over the connection of calls")
	}
	if got := by(start); got != calls {
		t.Errorf("calls after a log have another connection, %s, not %s", got, calls)
	}
	for deadline := time.After(time.Minute); ; {
		select {
		case ended := <-fake.ended:
			if ended == whole {
				return
			}
		case <-deadline:
			t.Fatal("the connection of logs is kept for ever")
		}
	}
}
