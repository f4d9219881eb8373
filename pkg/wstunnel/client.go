// Package wstunnel is a client of wstunnel's websocket transport (version 10): it
// carries datagrams and connections through one HTTP server, and brings connections that
// the server accepts to an address here. Each tunnel is a websocket whose request names
// the protocol and the far address in a token.
package wstunnel

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Config of a client.
type Config struct {
	// Server is ws://HOST:PORT or wss://HOST:PORT.
	Server string
	// PathPrefix is the first part of the request's path, a secret: no error names it.
	PathPrefix string
	// CAs are trusted beside those of the system, as PEM.
	CAs string
	// Insecure leaves the server's certificate unchecked.
	Insecure bool
	// Proxy is the URL of an HTTP proxy, with its credentials; empty means none.
	Proxy string
	// Control is called for each socket before it is connected; nil means nothing is done.
	Control func(network, address string, c syscall.RawConn) error
}

// Client opens tunnels. Its methods may be called at once.
type Client struct {
	config Config
	server *url.URL
	proxy  *url.URL
	tls    *tls.Config
	dialer net.Dialer
	// key signs the tokens. The server does not check it: the prefix is the secret.
	key []byte
	// pingEvery is the pause between two pings.
	pingEvery time.Duration

	received, sent atomic.Int64
}

// Times of a connection.
const (
	// dialLimit bounds connecting, the proxy and TLS; answerLimit the server's answer,
	// which only reverse tunnels may wait for without an end.
	dialLimit   = 15 * time.Second
	answerLimit = 30 * time.Second
	pingEvery   = 30 * time.Second
	// mostUnanswered pings in a row end a connection.
	mostUnanswered = 3
)

// New checks a configuration and makes its client, which opens nothing yet.
func New(config Config) (*Client, error) {
	c := &Client{config: config, pingEvery: pingEvery, key: make([]byte, 32)}
	if _, err := rand.Read(c.key); err != nil {
		return nil, err
	}
	c.dialer = net.Dialer{Timeout: dialLimit, Control: config.Control,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}}
	var err error
	if c.server, err = parse(config.Server, map[string]string{"ws": "80", "wss": "443"}); err != nil {
		return nil, fmt.Errorf("the tunnel's server: %w", err)
	}
	if config.Proxy != "" {
		if c.proxy, err = parse(config.Proxy, map[string]string{"http": "80", "https": "443"}); err != nil {
			return nil, fmt.Errorf("the proxy: %w", err)
		}
	}
	if !validPrefix(config.PathPrefix) {
		return nil, errors.New("the path prefix has characters other than letters, digits and -._~/, or is empty")
	}
	c.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, InsecureSkipVerify: config.Insecure} //nolint:gosec // asked for by the operator
	if config.CAs != "" {
		if c.tls.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.tls.RootCAs = x509.NewCertPool()
		}
		if !c.tls.RootCAs.AppendCertsFromPEM([]byte(config.CAs)) {
			return nil, errors.New("the further certificate authorities hold no certificate in PEM form")
		}
	}
	return c, nil
}

// Bytes of payload that came from the server and that went to it.
func (c *Client) Bytes() (received, sent int64) { return c.received.Load(), c.sent.Load() }

// parse reads a URL of a scheme, each of which has a default port. Its error never
// holds the URL, which may have a password.
func parse(text string, ports map[string]string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	port, known := ports[u.Scheme]
	switch {
	case !known:
		return nil, fmt.Errorf("the scheme %q is not known", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("its URL has no host")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("its URL has more than a host and a port")
	}
	if u.Port() != "" {
		if _, err := portOf(u.Port()); err != nil {
			return nil, err
		}
		port = u.Port()
	}
	u.Path, u.Host = "", net.JoinHostPort(u.Hostname(), port)
	return u, nil
}

func portOf(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is no port", text)
	}
	return uint16(port), nil
}

func validPrefix(prefix string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
	return prefix != "" && strings.Trim(prefix, letters) == "" && !strings.Contains("/"+prefix+"/", "//") &&
		!strings.Contains("/"+prefix+"/", "/../") && !strings.Contains("/"+prefix+"/", "/./")
}
