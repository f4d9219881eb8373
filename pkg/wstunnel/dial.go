package wstunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// connect opens the connection that a websocket will run on: by way of the proxy, if
// any, and with TLS where the server's URL says so.
func (c *Client) connect(ctx context.Context, readBuffer int) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	first := c.server
	if c.proxy != nil {
		first = c.proxy
	}
	conn, err := c.dialer.DialContext(ctx, "tcp", first.Host)
	if err != nil {
		return nil, err
	}
	// What follows reads and writes without a context.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	secured, err := c.prepare(ctx, conn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return nil, err
	}
	return &stream{Conn: secured, in: bufio.NewReaderSize(secured, readBuffer)}, nil
}

// prepare makes a fresh connection one to the server.
func (c *Client) prepare(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if c.proxy != nil {
		if c.proxy.Scheme == "https" {
			secured, err := c.secure(ctx, conn, c.proxy)
			if err != nil {
				return nil, &atProxy{err}
			}
			conn = secured
		}
		if err := c.tunnelThrough(conn); err != nil {
			return nil, &atProxy{err}
		}
	}
	if c.server.Scheme == "wss" {
		return c.secure(ctx, conn, c.server)
	}
	return conn, nil
}

func (c *Client) secure(ctx context.Context, conn net.Conn, to *url.URL) (net.Conn, error) {
	config := c.tls.Clone()
	config.ServerName = to.Hostname()
	config.InsecureSkipVerify = config.InsecureSkipVerify && to == c.server // never the proxy's
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secured, nil
}

// tunnelThrough has the proxy connect to the server.
func (c *Client) tunnelThrough(conn net.Conn) error {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: c.server.Host}, Host: c.server.Host, Header: http.Header{}}
	if user := c.proxy.User; user != nil {
		password, _ := user.Password() // none is the empty one
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, request) //nolint:bodyclose // an answer that has a body ends the connection
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return &StatusError{response.StatusCode}
	}
	if in.Buffered() > 0 {
		return errors.New("it sent data before the server can have answered")
	}
	return nil
}

// upgrader is the transport of one request: it has a connection of its own, which
// becomes the websocket's.
type upgrader struct {
	client *Client
	// sent is called when the request was written, with the time that connecting took.
	sent func(connecting time.Duration)
	// limit of the wait for an answer; 0 is none.
	limit      time.Duration
	readBuffer int
	// stream is set when the request has succeeded.
	stream *stream
}

// RoundTrip sends the request that asks for a websocket. The body of an answer that
// grants it is the connection.
func (u *upgrader) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, began := request.Context(), time.Now()
	s, err := u.client.connect(ctx, u.readBuffer)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	response, err := u.exchange(s, request, began)
	if !stop() && err == nil {
		response.Body.Close()
		err = ctx.Err()
	}
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		response.Body.Close()
		err = &StatusError{response.StatusCode}
	}
	if err != nil {
		s.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	u.stream, response.Body = s, s
	return response, nil
}

func (u *upgrader) exchange(s *stream, request *http.Request, began time.Time) (*http.Response, error) {
	if u.limit > 0 {
		_ = s.SetDeadline(time.Now().Add(u.limit))
	}
	request.Host = strings.TrimSuffix(request.Host, defaultPort[u.client.server.Scheme])
	if err := request.Write(s.Conn); err != nil {
		return nil, err
	}
	if u.sent != nil {
		u.sent(time.Since(began))
	}
	response, err := http.ReadResponse(s.in, request)
	if err == nil {
		err = s.SetDeadline(time.Time{})
	}
	return response, err
}

// defaultPort is left out of the Host header, by which an Ingress chooses its rule.
var defaultPort = map[string]string{"ws": ":80", "wss": ":443"}
