package engine

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestWaitIsLeftForGood: a wait that is given up just as the engine answers leaves
// nothing behind that would wait for its reader.
func TestWaitIsLeftForGood(t *testing.T) {
	c, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/c/wait": says(http.StatusOK, `{"StatusCode":0}`),
		"GET /containers/c/json":  says(http.StatusOK, `{"Id":"c","State":{"Status":"exited"}}`),
	})
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	c.asked = time.Nanosecond
	for range 50 {
		if _, err := c.waitOnce(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*conn).serve"))
}
