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
	if got := dials.Load(); got > parallel {
		t.Errorf("%d connections for %d rounds of %d calls", got, rounds, parallel)
	}
}
