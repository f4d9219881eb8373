package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// TestShareSocket: the socket gets its rights, and a link in its place leaves what it leads to
// as it was.
func TestShareSocket(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "s"), filepath.Join(dir, "other")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	share := config.SocketShare{Mode: "0660"}
	if err := shareSocket(share, listener.Addr()); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, "link")}
	if err := os.Symlink(other, link.Name); err != nil {
		t.Fatal(err)
	}
	if err := shareSocket(share, link); err == nil {
		t.Error("a link was taken for the socket")
	}
	if info, err := os.Stat(other); err != nil || info.Mode() != 0o600 {
		t.Errorf("what the link leads to is %v, %v", info.Mode(), err)
	}
}
