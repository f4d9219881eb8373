package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// caller is one interLink API server in front of a docker-sd.
type caller struct{ *kit.Caller }

// newCaller calls at a socket.
func newCaller(socket string) *caller { return &caller{kit.Unix(socket)} }

// close ends its connections.
func (c *caller) close() { c.Close() }

// call sends a body and returns that of an answer of 200; every other code is an
// error to interLink (protocol 1.4, 1.5).
func (c *caller) call(ctx context.Context, method, path, session string, body []byte) ([]byte, error) {
	code, text, err := c.Call(ctx, method, path, body, kit.Headers(session))
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("call %s: %d: %s", path, code, text)
	}
	return []byte(text), nil
}
