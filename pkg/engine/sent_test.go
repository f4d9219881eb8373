package engine_test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestNotSent: an engine that is away got nothing; one that broke off may have
// begun.
func TestNotSent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	start := func() error {
		c, err := engine.Connect("unix://" + socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Start(t.Context(), "id")
	}
	if err := start(); !engine.NotSent(err) {
		t.Errorf("no socket: %v is taken for a request that was sent", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1))
			c.Close()
		}
	}()
	err = start()
	listener.Close()
	<-done
	if err == nil || engine.NotSent(err) {
		t.Errorf("a connection that broke off: %v is taken for a request that was not sent", err)
	}
	if engine.NotSent(nil) {
		t.Error("no error is taken for one")
	}
}
