//go:build e2e

package tunnels_test

import (
	"bytes"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// lockedBuffer is written to by a process while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// socketPair is a connection of which a process gets one end.
func socketPair(t testing.TB) (net.Conn, *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near := os.NewFile(uintptr(pair[0]), "near")
	defer near.Close()
	conn, err := net.FileConn(near)
	if err != nil {
		t.Fatal(err)
	}
	return conn, os.NewFile(uintptr(pair[1]), "far")
}
