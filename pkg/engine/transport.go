package engine

import (
	"context"
	"net"
	"net/http"
	"time"
)

// idleConnections that are kept for the next calls: as many as calls are made at
// once, since Go's default of two has all others dial anew.
const idleConnections = 64

// transport is our own: the SDK's keeps six idle connections and closes them
// after a fixed time; a pod's wait and log calls need no such limits.
//
// It is one for all calls. Waits of their own, with buffers of 1 KB, took 0.4 MB less of
// the heap with 50 pods of two waits each, and as much more for the stacks of 55 to 80
// further connections at the pods' start: 20.1 MB of private memory, and 20.0 MB without.
// Whole logs of their own, read through 32 KB, took as much processor time as those
// through Go's 4 KB, 984 and 998 ms for 50 MB in lines of 100 bytes: an engine sends a
// line at a time, so a connection seldom has more to read.
func transport(network, address string) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     idlePeriod,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err == nil && ctx.Value(hijacked{}) != nil {
				// The SDK waits for the answer to an upgrade without looking at ctx.
				context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		},
	}
}

// detached gives the next transport a request of its own: the SDK changes that of a ping
// which failed, while the transport may still be reading its answer.
type detached struct{ next http.RoundTripper }

// RoundTrip is the next transport's.
func (d detached) RoundTrip(r *http.Request) (*http.Response, error) {
	return d.next.RoundTrip(r.WithContext(r.Context()))
}

// idlePeriod is how long a connection waits for the next call: through the calls of
// a pod's start, and those of a burst. A new one costs little on a socket, idle ones
// add up, since each pod has an engine of its own.
const idlePeriod = 5 * time.Second

// hijacked marks the context of a call whose connection becomes a stream.
type hijacked struct{}
