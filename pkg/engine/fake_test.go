package engine

import (
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// apiVersion that the fake engine offers, older than the SDK's own.
const apiVersion = "1.41"

// fakeEngine answers some calls of the Docker API and notes all of them.
type fakeEngine struct {
	mu   sync.Mutex
	seen []string
}

// serve makes a client for an engine whose answers are keyed by method and path
// without the version, for example "POST /containers/create".
func serve(t *testing.T, answers map[string]http.HandlerFunc) (*Client, *fakeEngine) {
	t.Helper()
	fake := &fakeEngine{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_ping" {
			w.Header().Set("Api-Version", apiVersion)
			return
		}
		path, versioned := strings.CutPrefix(r.URL.Path, "/v"+apiVersion)
		if !versioned {
			t.Errorf("%s %s: not of the negotiated version %s", r.Method, r.URL.Path, apiVersion)
		}
		call := r.Method + " " + path
		fake.mu.Lock()
		fake.seen = append(fake.seen, call)
		fake.mu.Unlock()
		if answer := answers[call]; answer != nil {
			answer(w, r)
			return
		}
		t.Errorf("call %s is not expected", call)
		w.WriteHeader(http.StatusNotImplemented)
	}))
	server.Start()
	c, err := Connect("tcp://" + server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return c, fake
}

func (f *fakeEngine) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// says answers with a code and a body.
func says(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// breaksOff answers with a code and cuts the connection after the body.
func breaksOff(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// frame is one write of a container: stream 1 is its output, 2 its errors.
func frame(stream byte, text string) string {
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return string(head) + text
}
