package engine

import (
	"net/http"
	"testing"
)

// TestImage_ChangedMeanwhile: an engine that asks to be asked again is, and not for ever.
func TestImage_ChangedMeanwhile(t *testing.T) {
	for _, test := range []struct {
		changes, asked int
		found          bool
	}{{0, 1, true}, {2, 3, true}, {maxChanges, maxChanges + 1, true}, {100, maxChanges + 1, false}} {
		asked := 0
		c, _ := serve(t, map[string]http.HandlerFunc{"GET /images/app/json": func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Content-Type", "application/json")
			if asked <= test.changes {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(`{"message":"consistency error: data changed during operation, retry"}`))
				return
			}
			_, _ = w.Write([]byte(`{"Id":"sha256:1"}`))
		}})
		image, err := c.Image(t.Context(), "app")
		if found := err == nil && image.ID == "sha256:1"; found != test.found || asked != test.asked {
			t.Errorf("after %d changes: %+v, %v, asked %d times", test.changes, image, err, asked)
		}
	}
}
