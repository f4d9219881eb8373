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
func transport(network, address string) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     usualIdle,
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

// usualIdle is how long a connection waits for the next call: through the calls of
// a pod's start, and those of a burst. A new one costs little on a socket, idle ones
// add up, since each pod has an engine of its own.
const usualIdle = 5 * time.Second

// hijacked marks the context of a call whose connection becomes a stream.
type hijacked struct{}

// readBuffer in bytes, for long answers.
const readBuffer = 32 << 10

// longTransport is for answers of many megabytes: the buffer that makes these
// cheap to read would be a waste in each connection that waits for a call.
func longTransport(network, address string) *http.Transport {
	t := transport(network, address)
	t.ReadBufferSize = readBuffer
	t.IdleConnTimeout = rareIdle
	return t
}

// rareIdle is how long a connection waits for the next call of its own kind, where
// that seldom comes.
const rareIdle = time.Second

// waitTransport is for calls that last as long as a container: each pod has two of
// them, and Go's buffers for one would take 8 KB for the sake of a few hundred bytes.
func waitTransport(network, address string) *http.Transport {
	t := transport(network, address)
	t.ReadBufferSize, t.WriteBufferSize = waitBuffer, waitBuffer
	t.IdleConnTimeout = rareIdle
	return t
}

// waitBuffer in bytes holds the request and the answer of a wait in one piece.
const waitBuffer = 1 << 10

// byAnswer sends each call through the transport for the answer that it expects.
type byAnswer struct {
	usual *http.Transport
	long  *http.Transport
	wait  *http.Transport
}

// RoundTrip chooses by the mark that expect has left in the context.
func (b *byAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.Context().Value(answerKey{}) {
	case answerLong:
		return b.long.RoundTrip(r)
	case answerLate:
		return b.wait.RoundTrip(r)
	}
	return b.usual.RoundTrip(r)
}

// answerKey marks the context of a call with an answer that is not a usual one.
type answerKey struct{}

// answer is what is expected of a call.
type answer int

const (
	// answerLong may have many megabytes.
	answerLong answer = iota + 1
	// answerLate comes when a container ends or is removed.
	answerLate
)

// expect marks the context of a call with the answer that it waits for.
func expect(ctx context.Context, a answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}
