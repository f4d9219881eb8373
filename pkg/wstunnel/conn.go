package wstunnel

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// conn is one open tunnel.
type conn struct {
	ws     *websocket.Conn
	stream *stream

	watching sync.WaitGroup
	stop     context.CancelFunc
	// busy says that the reader waits for what takes the data here, and sees no pong.
	busy atomic.Bool

	mu sync.Mutex
	// silent says that the connection was ended for that.
	silent bool
}

// request of a tunnel.
type request struct {
	what    purpose
	address string
	// patient waits for the answer without an end.
	patient bool
	// sent is called when the server has been asked.
	sent       func(connecting time.Duration)
	readBuffer int
}

// open opens a tunnel. Its error is in words.
func (c *Client) open(ctx context.Context, r request) (*conn, error) {
	token, err := c.token(r.what, r.address)
	if err != nil {
		return nil, err
	}
	up := &upgrader{client: c, sent: r.sent, limit: answerLimit, readBuffer: r.readBuffer}
	if r.patient {
		up.limit = 0
	}
	scheme := map[string]string{"ws": "http", "wss": "https"}[c.server.Scheme]
	target := url.URL{Scheme: scheme, Host: c.server.Host, Path: "/" + c.config.PathPrefix + "/events"}
	ws, response, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: up},
		HTTPHeader: http.Header{"User-Agent": nil}, Subprotocols: []string{"v1", "authorization.bearer." + token},
	})
	if err != nil {
		if response != nil && response.Body != nil {
			response.Body.Close()
		}
		if up.stream != nil {
			up.stream.Close()
		}
		return nil, c.explain(err)
	}
	ws.SetReadLimit(-1) // messages are read piece by piece
	out := &conn{ws: ws, stream: up.stream}
	watched, stop := context.WithCancel(context.WithoutCancel(ctx))
	out.stop = stop
	out.watching.Go(func() { out.watch(watched, c.pingEvery) })
	return out, nil
}

// watch pings the far end, and ends the connection when that has fallen silent. Pongs
// are seen only while the connection is read.
func (c *conn) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for unanswered := 0; unanswered < mostUnanswered; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		bounded, cancel := context.WithTimeout(ctx, every)
		err := c.ws.Ping(bounded)
		cancel()
		switch {
		case err == nil, c.busy.Load():
			unanswered = 0
		case ctx.Err() != nil:
			return
		case bounded.Err() == nil:
			return // the connection has ended, which its reader sees
		default:
			unanswered++
		}
	}
	c.mu.Lock()
	c.silent = true
	c.mu.Unlock()
	_ = c.ws.CloseNow() // the reader sees the end
}

// ended is why a call of the connection failed.
func (c *conn) ended(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return errSilent
	}
	return err
}

// close ends the connection at once. It may be repeated.
func (c *conn) close() {
	c.stop()
	_ = c.ws.CloseNow()
	c.watching.Wait()
}

// finish tells the far end that the tunnel has ended well, before it closes it.
func (c *conn) finish() {
	_ = c.ws.Close(websocket.StatusNormalClosure, "") // it may be gone already
	c.close()
}
