// Package relay joins two connections: what comes on one goes out on the other, in both
// directions, and each direction ends by itself.
package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
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

// Join passes on bytes until both directions have ended, and closes both connections. If one
// of them fails, or an end that sends no more closes its connection, both are broken off: as
// far as the kernel can tell, which is by a unix socket or a reset. What is broken off does
// not look like an end: TCP is reset, and a unix socket is closed as a whole before its other
// end has closed its own half, which Join takes for that.
func Join(a, b Conn) {
	j := &joint{over: make(chan struct{})}
	first, second := &end{Conn: a}, &end{Conn: b}
	j.both.Go(func() { j.pass(first, second) })
	j.both.Go(func() { j.pass(second, first) })
	j.both.Wait()
	close(j.over)
	_ = a.Close() // all has been passed on
	_ = b.Close()
	j.watching.Wait()
}

// end is one of two connections.
type end struct {
	Conn
	// closed says that all has been written to it.
	closed atomic.Bool
}

// joint is one call of Join.
type joint struct {
	over           chan struct{}
	both, watching sync.WaitGroup
	once           sync.Once
}

// pass passes on one direction.
func (j *joint) pass(to, from *end) {
	_, err := io.Copy(to.Conn, from.Conn)
	if err == nil && from.broken() {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		to.closed.Store(true) // before its other end learns of it
		err = to.CloseWrite()
	}
	if err != nil {
		j.breakOff(to, from)
		return
	}
	j.watching.Go(func() {
		if from.left(j.over) {
			j.breakOff(to, from)
		}
	})
}

// breakOff closes both connections at once.
func (j *joint) breakOff(ends ...*end) {
	j.once.Do(func() {
		for _, e := range ends {
			if tcp, ok := e.Conn.(interface{ SetLinger(int) error }); ok {
				_ = tcp.SetLinger(0) // it may be closed already
			}
			_ = e.Close() // that is all there is to do
		}
	})
}

// left waits until the other end of a connection has closed it in both directions, which it
// returns, or until over is closed.
func (e *end) left(over <-chan struct{}) bool {
	tick := time.NewTicker(leftPeriod)
	defer tick.Stop()
	for !e.broken() {
		select {
		case <-over:
			return false
		case <-tick.C:
		}
	}
	return true
}

// broken says that the other end has closed the connection although this one may still write
// to it. When this one has ended as well, it is closed, and not broken.
func (e *end) broken() bool { return Closed(e.Conn) && !e.closed.Load() }

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
