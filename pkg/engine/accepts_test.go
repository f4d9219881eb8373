package engine_test

import (
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestAccepts: an engine that is being stopped answers on the connections that it has,
// and takes no new one.
func TestAccepts(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	c, err := engine.Connect("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Accepts(t.Context()); err != nil {
		t.Errorf("Accepts() = %v of an engine that runs", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Fatalf("control: Ping() = %v on the connection from before", err)
	}
	if err := c.Accepts(t.Context()); !errdefs.IsUnavailable(err) {
		t.Errorf("Accepts() = %v of an engine that is being stopped", err)
	}
}
