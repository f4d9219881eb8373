package engine

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestPingThatIsGivenUp: the SDK changes the request of a ping that failed, which the race
// detector sees if the transport still reads the answer of this very request.
func TestPingThatIsGivenUp(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond) // about when the caller leaves
		w.Header().Set("Api-Version", apiVersion)
	}))
	defer server.Close()
	c, err := Connect("tcp://" + server.Listener.Addr().(*net.TCPAddr).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	given := 0
	for i := range 500 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond+time.Duration(i)*time.Microsecond)
		if c.Ping(ctx) != nil {
			given++
		}
		cancel()
	}
	if given == 0 {
		t.Error("no ping was given up, which shows nothing")
	}
}
