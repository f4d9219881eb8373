package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// caller asks a running docker-sd where interLink does.
type caller struct {
	base, address, token string
	http                 *http.Client
}

// answerTimeout bounds the wait for the beginning of an answer.
const answerTimeout = 60 * time.Second

// newCaller brings along what the configuration has docker-sd ask of callers.
func newCaller(settings config.Config) (*caller, error) {
	network, address := settings.Listen()
	transport := &http.Transport{ResponseHeaderTimeout: answerTimeout,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		}}
	return &caller{base: "http://docker-sd", address: address, http: &http.Client{Transport: transport}}, nil
}

func (c *caller) close() { c.http.CloseIdleConnections() }
