package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/semaphore"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/connections"
)

// limits bound what all callers together can make this host hold.
type limits struct {
	config Config
	// calls under way; those that follow a log are counted here as well.
	calls     *semaphore.Weighted
	followers *semaphore.Weighted
	// bodies are the bytes of requests, values what they are decoded into. They
	// are acquired in this order, so that nobody waits for somebody who waits.
	bodies, values *semaphore.Weighted
}

// Limits that no operator needs to change. A caller is made to wait before it is
// refused, because a create that is refused is a failed pod (protocol 1.4).
const (
	// queueTimeout is how long a call waits for its turn; the caller gives up
	// after 120 s.
	queueTimeout = 30 * time.Second
	// maxHeader bounds a request's header, to which interLink adds nothing.
	maxHeader = 64 << 10
	// spareConnections are those that callers keep open for their next call. Beyond
	// them silent ones make place.
	spareConnections = 128
)

// Time limits. A caller keeps idle connections for 120 s, so ours live longer:
// a create must not be written to a connection that we are closing (protocol 1.1).
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 60 * time.Second
	idleTimeout   = 150 * time.Second
	// readyTimeout is how long a call waits for recovery; the caller gives up
	// after 120 s.
	readyTimeout = 100 * time.Second
)

// writeTimeout is how long a caller may leave a piece of a log unread.
const writeTimeout = 60 * time.Second

func newLimits(config Config) limits {
	memory := max(config.MaxMemory, config.MaxBody)
	followers := int64(max(config.MaxFollowers, 1))
	return limits{config: config, followers: semaphore.NewWeighted(followers),
		calls:  semaphore.NewWeighted(int64(max(config.MaxCalls, 1)) + followers),
		bodies: semaphore.NewWeighted(memory), values: semaphore.NewWeighted(memory)}
}

// admit lets a caller in, for whom release is then due.
func (l *limits) admit(r *http.Request) (release func(), err error) {
	if err := l.begin(r); err != nil {
		return nil, err
	}
	if err := wait(r.Context(), l.calls, 1); err != nil {
		return nil, fmt.Errorf("%d calls are under way, as many as MaxRequests allows; try again: %w", l.config.MaxCalls, err)
	}
	return func() { l.calls.Release(1) }, nil
}

// begin waits for the first byte of a body: a caller that sends none takes no
// place of a call and no memory.
func (l *limits) begin(r *http.Request) error {
	if r.ContentLength == 0 || r.ContentLength > l.config.MaxBody {
		return nil
	}
	var first [1]byte
	n, err := r.Body.Read(first[:])
	if err != nil && err != io.EOF {
		return malformed(fmt.Errorf("read the body: %w", err))
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first[:n]), r.Body), r.Body}
	return nil
}

// wait acquires from a semaphore for as long as a call may be held back.
func wait(ctx context.Context, s *semaphore.Weighted, n int64) error {
	bounded, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	if s.Acquire(bounded, n) == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errdefs.ErrUnavailable
}

// bounded is a handler whose unread body is not waited for without end: the
// server reads what a handler has left before it answers.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// A connection without deadlines does not exist outside of tests.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		h.ServeHTTP(w, r)
	})
}

func (l *limits) tooLarge() error {
	return fmt.Errorf("the body is larger than %d bytes (MaxBodyBytes): %w", l.config.MaxBody, &http.MaxBytesError{Limit: l.config.MaxBody})
}

func (l *limits) noMemory(err error) error {
	return fmt.Errorf("the requests under way fill the memory that they may have (MaxRequestMemory); try again: %w", err)
}

// listener bounds the connections, and how long each may leave an answer unread.
func (l *limits) listener(inner net.Listener) net.Listener {
	most := max(l.config.MaxCalls, 1) + max(l.config.MaxFollowers, 1) + spareConnections
	return patientListener{connections.Listen(inner, most)}
}

type patientListener struct{ net.Listener }

func (l patientListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return patientConn{conn}, nil
}

// patientConn gives every write its own deadline: a log may be followed for
// days, but a caller that stops reading holds nothing for ever.
type patientConn struct{ net.Conn }

// NetConn is the connection below.
func (c patientConn) NetConn() net.Conn { return c.Conn }

// Write is that of the connection.
func (c patientConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
