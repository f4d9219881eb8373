// Package relay joins two connections: what comes on one goes out on the other, in both
// directions, and each direction ends by itself.
package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connection of which one half can be closed. *net.TCPConn and *net.UnixConn are.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// leftPeriod is how often a connection whose other end sends no more is looked at: whether
// that end has left, or still reads.
const leftPeriod = time.Second

// Join passes on bytes until both directions have ended, or until one has failed, and
// closes both connections. It ends as well when an end that sends no more has closed its
// connection, as far as the kernel can tell: by a unix socket, or by a reset.
func Join(a, b Conn) {
	over := make(chan struct{})
	var both, watching sync.WaitGroup
	var once sync.Once
	end := func() {
		once.Do(func() {
			_ = a.Close() // the other end learns of it
			_ = b.Close()
		})
	}
	pass := func(to, from Conn) {
		_, err := io.Copy(to, from)
		if err == nil {
			err = to.CloseWrite()
		}
		if err != nil {
			end()
			return
		}
		watching.Go(func() {
			if left(from, over) {
				end()
			}
		})
	}
	both.Go(func() { pass(a, b) })
	both.Go(func() { pass(b, a) })
	both.Wait()
	close(over)
	end()
	watching.Wait()
}

// left waits until the other end of a connection has closed it in both directions, which it
// returns, or until over is closed.
func left(conn Conn, over <-chan struct{}) bool {
	tick := time.NewTicker(leftPeriod)
	defer tick.Stop()
	for !Closed(conn) {
		select {
		case <-over:
			return false
		case <-tick.C:
		}
	}
	return true
}

// Closed says that the other end of a connection has closed it in both directions. It is
// false where the kernel cannot tell that from an end that only sends no more.
func Closed(conn net.Conn) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if errors.Is(err, errors.ErrUnsupported) {
		return false
	}
	if err != nil {
		return true // it is closed here
	}
	var seen int16
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // a file descriptor
		for {
			if _, err := unix.Poll(fds, 0); err != unix.EINTR { //nolint:errorlint // an errno
				break
			}
		}
		seen = fds[0].Revents
	})
	return err != nil || seen&(unix.POLLHUP|unix.POLLERR) != 0
}

// After is a connection from which first has been read already, which is read again.
func After(first []byte, conn Conn) Conn {
	if len(first) == 0 {
		return conn
	}
	return &ahead{Conn: conn, first: first}
}

// ahead reads what was read before first.
type ahead struct {
	Conn
	first []byte
}

// Read returns what was read before, and then what comes.
func (a *ahead) Read(b []byte) (int, error) {
	if len(a.first) > 0 {
		n := copy(b, a.first)
		a.first = a.first[n:]
		return n, nil
	}
	return a.Conn.Read(b)
}

// SyscallConn is that of the connection.
func (a *ahead) SyscallConn() (syscall.RawConn, error) {
	if socket, ok := a.Conn.(syscall.Conn); ok {
		return socket.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
