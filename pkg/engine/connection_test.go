package engine

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// TestSlowEngine: a start that takes several times the usual limit succeeds on an engine
// that answers pings meanwhile, and one that never ends is given up all the same.
func TestSlowEngine(t *testing.T) {
	var limit time.Duration
	c, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/slow/start": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-time.After(3 * limit):
				w.WriteHeader(http.StatusNoContent)
			case <-r.Context().Done():
			}
		},
		"POST /containers/stuck/start": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
	})
	impatient(c)
	c.limit *= 4 // a loaded machine answers a ping in that time
	limit = c.limit
	if err := within(t, func() error { return c.Start(t.Context(), "slow") }); err != nil {
		t.Errorf("a slow start: %v", err)
	}
	if err := within(t, func() error { return c.Start(t.Context(), "stuck") }); !errdefs.IsUnavailable(err) {
		t.Errorf("a start that never ends: %v, want ErrUnavailable", err)
	}
}
