package sandboxinit

import (
	"errors"
	"net"
)

// requestLimit bounds what one call may send, in bytes.
const requestLimit = 1 << 20

// limited ends a request that is too long.
type limited struct {
	conn net.Conn
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("it is too long")
	}
	n, err := l.conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
