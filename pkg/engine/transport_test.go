package engine

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestPingThatIsGivenUp: the SDK changes the request of a ping that failed, which the race
// detector sees if the transport still reads the answer of this very request.
func TestPingThatIsGivenUp(t *testing.T) {
	arrived := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", apiVersion)
		if r.Method == http.MethodHead {
			arrived <- struct{}{} // the caller leaves while the answer is on its way
		}
	}))
	defer server.Close()
	c, err := Connect("tcp://" + server.Listener.Addr().(*net.TCPAddr).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	given := 0
	for range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() { defer close(left); <-arrived; cancel() }()
		if c.Ping(ctx) != nil {
			given++
		}
		<-left
	}
	if given == 0 {
		t.Error("no ping was given up, which shows nothing")
	}
}
