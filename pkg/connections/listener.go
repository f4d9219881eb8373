// Package connections bounds the connections of a server without keeping a caller
// out: where there are too many, one that is silent makes place. With a limit alone
// a thousand silent connections keep out the one that has something to say.
package connections

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// How long a connection may send nothing.
const (
	// grace is for one that is new or has just been answered: a header is on its way.
	grace = 50 * time.Millisecond
	// stall is for one in the middle of a request.
	stall = time.Second
)

// quiet is how long a lack of files has to be over before the log says so: one that
// comes and goes is one line.
const quiet = time.Minute

// listener of at most so many connections.
type listener struct {
	net.Listener
	most    int
	closing context.Context
	close   context.CancelFunc
	// tries is what Accept remembers of a lack of files, and troubled when it last was.
	tries    *retry.Loop
	troubled time.Time

	mu    sync.Mutex
	open  map[*conn]struct{}
	peers map[string]int // connections by peer
	// fewer has a value when a connection has closed or fallen silent.
	fewer chan struct{}
}

// conn is one connection. The listener's mu guards what is below it.
type conn struct {
	net.Conn
	listener *listener
	peer     string
	// reading is when the read that goes on began, in nanoseconds of Unix time, or 0.
	reading atomic.Int64

	busy      bool // there is a request with a whole header
	receiving bool // its body has not ended
	served    bool // there was a request
	since     time.Time
	closed    bool
}

// Listen makes a listener of at most so many connections of inner at a time, and
// of no more than half the files that this process may open: the other half is for
// its work. The http.Server that it is for needs Watch.
func Listen(inner net.Listener, most int) net.Listener {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		most = int(min(uint64(max(most, 2)), files.Cur/2)) //nolint:gosec // not above most
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &listener{Listener: inner, most: max(most, 1), closing: ctx, close: cancel, tries: retry.New(grace/4, 2*grace),
		open: map[*conn]struct{}{}, peers: map[string]int{}, fewer: make(chan struct{}, 1)}
}

// Accept returns the next connection once there is place for it.
func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err == nil {
			if time.Since(l.troubled) > quiet {
				l.tries.Succeeded(l.closing, "there are files for connections again")
			}
			return l.admit(inner)
		}
		if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
			return nil, err
		}
		if l.closeSilent() {
			continue // it had the file that this connection needs
		}
		l.troubled = time.Now()
		if l.tries.Failed(l.closing, "a connection waits: no more files can be opened", err) != nil {
			return nil, net.ErrClosed
		}
	}
}

// Close ends the wait for place as well.
func (l *listener) Close() error {
	l.close()
	return l.Listener.Close()
}

// admit counts a connection, for which a silent one is closed if need be. While
// none is silent it waits: each has a request that is worked at, or is new.
func (l *listener) admit(inner net.Conn) (net.Conn, error) {
	c := &conn{Conn: inner, listener: l, peer: peerOf(inner), since: time.Now()}
	for !l.add(c) {
		if l.closeSilent() {
			continue
		}
		look := time.NewTimer(grace / 4)
		select {
		case <-l.fewer:
		case <-look.C:
		case <-l.closing.Done():
			look.Stop()
			return nil, errors.Join(net.ErrClosed, inner.Close())
		}
		look.Stop()
	}
	return c, nil
}

func (l *listener) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most {
		return false
	}
	l.open[c] = struct{}{}
	l.peers[c.peer]++
	return true
}

// closeSilent closes the silent connection that is missed least, if there is one.
func (l *listener) closeSilent() bool {
	for {
		worst := l.worst()
		if worst == nil {
			return false
		}
		if !unread(worst.Conn) {
			worst.Close() // its error says nothing of use
			return true
		}
		// It has spoken, and this process has not had the time to listen.
		l.mu.Lock()
		worst.since = time.Now()
		l.mu.Unlock()
	}
}

// worst is the connection to close, nil if there is none yet: one that is missed
// more does not go because the one that is missed least is still new. To look at a
// thousand of them takes some microseconds.
func (l *listener) worst() *conn {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var worst *conn
	for c := range l.open {
		if c.silent(now) && (worst == nil || l.worse(c, worst)) {
			worst = c
		}
	}
	if worst == nil || now.Sub(worst.since) <= grace {
		return nil
	}
	return worst
}

// unread says that the kernel holds bytes of a connection that nobody has read yet.
func unread(c net.Conn) bool {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	waiting := 0
	err = raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }) //nolint:gosec // a file descriptor
	return err == nil && waiting > 0
}

// silent says that nothing is lost with the connection: it has no request, or one
// whose body does not come. It is called with mu held.
func (c *conn) silent(now time.Time) bool {
	if !c.busy {
		return true
	}
	began := c.reading.Load()
	return c.receiving && began > 0 && now.Sub(time.Unix(0, began)) > stall
}

// worse says which of two is missed less: that of the peer with more connections,
// so that nobody loses his place to one who takes many; that which never had a
// request, rather than one that a caller keeps for its next; the older one.
func (l *listener) worse(a, b *conn) bool {
	switch here, there := l.peers[a.peer], l.peers[b.peer]; {
	case here != there:
		return here > there
	case a.served != b.served:
		return b.served
	}
	return a.since.Before(b.since)
}

// Read is that of the connection.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Store(time.Now().UnixNano())
	defer c.reading.Store(0)
	return c.Conn.Read(b)
}

// CloseWrite closes the half of the connection that this end writes to.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn is that of the connection.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if socket, ok := c.Conn.(syscall.Conn); ok {
		return socket.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Close makes place for another connection.
func (c *conn) Close() error {
	l := c.listener
	l.mu.Lock()
	if !c.closed {
		c.closed = true
		delete(l.open, c)
		if l.peers[c.peer]--; l.peers[c.peer] <= 0 {
			delete(l.peers, c.peer)
		}
	}
	l.mu.Unlock()
	err := c.Conn.Close()
	l.wake()
	return err
}

func (l *listener) wake() {
	select {
	case l.fewer <- struct{}{}:
	default:
	}
}

// peerOf names the other end: an address, or the network that a host with IPv6 may
// take its addresses from. All that come over a unix socket are one.
func peerOf(c net.Conn) string {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	const hostBits = 64
	prefix, err := address.Prefix(hostBits)
	if err != nil {
		return address.String()
	}
	return prefix.String()
}
