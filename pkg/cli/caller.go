package cli

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// caller asks a running docker-sd where interLink does.
type caller struct {
	base, address, token string
	http                 *http.Client
}

// answerTimeout bounds the wait for the beginning of an answer.
const answerTimeout = 60 * time.Second

// newCaller brings along what the configuration has docker-sd ask of callers, and
// the certificate and key of the flags.
func newCaller(settings config.Config, cert, key string) (*caller, error) {
	network, address := settings.Listen()
	c := &caller{base: "http://localhost", address: address}
	transport := &http.Transport{ResponseHeaderTimeout: answerTimeout,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		}}
	c.http = &http.Client{Transport: transport}
	var err error
	if a := settings.Access; a.TLS() {
		c.base = "https://localhost"
		transport.TLSClientConfig, err = access.CallerTLS(access.Files{Cert: a.CertFile, Key: a.KeyFile, ClientCA: a.ClientCAFile}, cert, key)
	}
	if err == nil && settings.Access.TokenFile != "" {
		c.token, err = access.ReadToken(settings.Access.TokenFile)
	}
	return c, err
}

func (c *caller) close() { c.http.CloseIdleConnections() }
