package connections

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// key of the connection in the context of a request.
type key struct{}

// Watch has a server tell which of its connections have a request. It takes over
// the server's ConnContext and ConnState.
func Watch(server *http.Server) {
	next := server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, key{}, counted(c))
	}
	// Not the handler's end: what it has written is on its way only when the
	// connection is idle.
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if counted := counted(c); counted != nil && state == http.StateIdle {
			counted.ended()
		}
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Context().Value(key{}).(*conn); c != nil {
			c.began(r.ContentLength != 0)
			r.Body = &body{ReadCloser: r.Body, conn: c}
		}
		next.ServeHTTP(w, r)
	})
}

// Of is the connection that a request to a server with Watch came by, nil if it came by none
// of a listener of this package.
func Of(r *http.Request) net.Conn {
	if c, _ := r.Context().Value(key{}).(*conn); c != nil {
		return c.Conn
	}
	return nil
}

// counted is the connection of a listener of ours below others, such as one of TLS,
// nil if there is none.
func counted(c net.Conn) *conn {
	for {
		if own, ok := c.(*conn); ok {
			return own
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = outer.NetConn()
	}
}

func (c *conn) began(withBody bool) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.busy, c.served, c.receiving = true, true, withBody
}

func (c *conn) received() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.receiving = false
}

func (c *conn) ended() {
	c.listener.mu.Lock()
	c.busy, c.receiving, c.since = false, false, time.Now()
	c.listener.mu.Unlock()
	c.listener.wake()
}

// body notes its own end.
type body struct {
	io.ReadCloser
	conn *conn
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // io.Reader returns it as it is
		b.conn.received()
	}
	return n, err
}
