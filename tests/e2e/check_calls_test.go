//go:build e2e

package e2e_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// TestCheckTellsWhoCalls: the check knows from the docker-sd that runs whether interLink's API
// server reaches it, and by the form of its creates which version it is of.
func TestCheckTellsWhoCalls(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, map[string]any{"AdminAddress": "off"})
	line := func() preflight.Line {
		t.Helper()
		report, _ := d.checked(t, "--no-boot")
		return lineOf(t, report, "interlink calls")
	}
	wants := func(want string) {
		t.Helper()
		if l := line(); !strings.Contains(l.Found, want) {
			t.Errorf("the line is %+v, want %q", l, want)
		}
	}
	ping := func() {
		t.Helper()
		if code, text, err := d.Call(t.Context(), http.MethodGet, "/status", []byte("[]"), map[string]string{"User-Agent": "API-server/7"}); err != nil || code != http.StatusOK {
			t.Fatalf("a ping is answered with %d: %s (%v)", code, text, err)
		}
	}
	ping()
	wants("last ping ")
	wants("its version is not known before its first create (API-server/7)")
	for form, want := range map[string]string{"": "0.5.0 or later", "[]": "before 0.5.0"} {
		p := &podRun{t: t, d: d, pod: newPod(shell("c", untilStopped))}
		body := encode(t, newCreate(p.pod))
		if form != "" {
			body = bytes.Join([][]byte{[]byte("["), body, []byte("]")}, nil)
		}
		if code, text, err := d.Call(t.Context(), http.MethodPost, "/create", body, nil); err != nil || code != http.StatusOK {
			t.Fatalf("a create is answered with %d: %s (%v)", code, text, err)
		}
		wants("it is of interLink " + want)
		p.delete(0)
	}
}
