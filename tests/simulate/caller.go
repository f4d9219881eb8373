package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// caller is one interLink API server in front of a docker-sd.
type caller struct{ http *http.Client }

// callTimeout is how long interLink waits for an answer (protocol 1.1).
const callTimeout = 120 * time.Second

func newCaller(socket string) *caller {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}
	return &caller{&http.Client{Transport: transport, Timeout: callTimeout}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// call sends a body and returns that of an answer of 200; every other code is an
// error to interLink (protocol 1.4, 1.5).
func (c *caller) call(ctx context.Context, method, path, session string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://unix"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a call of %s: %w", path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("InterLink-Http-Session", session)
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("call %s: %s: %s", path, answer.Status, text)
	}
	return text, nil
}
