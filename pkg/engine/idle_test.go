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

// TestOneConnection: a log, whole or followed, and a wait come over the connection that a
// call has left, and leave it to the next.
func TestOneConnection(t *testing.T) {
	var mu sync.Mutex
	from := map[string]bool{}
	note := func(answer http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			from[r.RemoteAddr] = true
			mu.Unlock()
			answer(w, r)
		}
	}
	client, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/x/start": note(says(http.StatusNoContent, "")),
		"GET /containers/x/logs":   note(func(http.ResponseWriter, *http.Request) {}),
		"POST /containers/x/wait":  note(says(http.StatusOK, `{"StatusCode":0}`)),
		"GET /containers/x/json":   note(says(http.StatusOK, `{"Id":"x","State":{"Status":"exited"}}`)),
	})
	start := func() error { return client.Start(t.Context(), "x") }
	read := func(o LogOptions) func() error {
		return func() error { return client.Logs(t.Context(), "x", o, io.Discard) }
	}
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"a call", start}, {"a whole log", read(LogOptions{})}, {"a call after it", start}, {"a followed log", read(LogOptions{Follow: true})},
		{"a wait", func() error { _, err := client.Wait(t.Context(), "x"); return err }}, {"a call after all", start},
	} {
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		mu.Lock()
		if len(from) != 1 {
			t.Errorf("with %s there are %d connections, want one", c.name, len(from))
		}
		mu.Unlock()
	}
}
