package wstunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// explain puts an error into words. It never uses those of the request, which has the
// prefix in its URL.
func (c *Client) explain(err error) error {
	var inURL *url.Error
	for errors.As(err, &inURL) {
		err = inURL.Err
	}
	place := "the tunnel's server " + c.server.Host
	var proxied *atProxy
	if c.proxy != nil {
		var dialing *net.OpError
		if errors.As(err, &proxied) || errors.As(err, &dialing) && dialing.Op == "dial" {
			place = "the proxy " + c.proxy.Host
		}
	}
	var status *StatusError
	switch {
	case proxied != nil && errors.As(err, &status):
		return &Error{place + " " + proxyStatus(status.Status, c.server.Host), err}
	case errors.As(err, &status):
		return &Error{place + " " + serverStatus(status.Status), err}
	}
	return &Error{place + " " + problem(err), err}
}

// proxyStatus says what a proxy means that does not connect.
func proxyStatus(status int, server string) string {
	switch status {
	case http.StatusProxyAuthRequired:
		return "asks for a user name and a password (407): give them in its URL"
	case http.StatusForbidden:
		return fmt.Sprintf("does not allow connections to %s (403)", server)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Sprintf("cannot reach %s (%d)", server, status)
	}
	return fmt.Sprintf("answers %d to CONNECT %s", status, server)
}

// serverStatus says what a server, or the Ingress before it, means.
func serverStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "refuses the tunnel (400): the path prefix is not the one that it expects, or it does not allow this address"
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Sprintf("refuses the tunnel (%d): something before it asks for credentials", status)
	case http.StatusNotFound:
		return "answers 404: the Ingress has no rule for this host and path, or not yet"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return fmt.Sprintf("answers %d: the Ingress reaches no running wstunnel server", status)
	case http.StatusGatewayTimeout:
		return "answers 504: the Ingress gave up waiting for the wstunnel server"
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return fmt.Sprintf("answers %d, a redirection: where the Ingress wants TLS, the address has to begin with wss://", status)
	case http.StatusOK:
		return "answers as a web server does: no wstunnel server is at this address"
	}
	return fmt.Sprintf("answers %d instead of opening the tunnel", status)
}

// problem says what went wrong between here and there.
func problem(err error) string {
	var (
		name      *net.DNSError
		unknown   x509.UnknownAuthorityError
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		noTLS     tls.RecordHeaderError
		alert     tls.AlertError
		closed    websocket.CloseError
	)
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Sprintf("is not found: DNS knows no name %s", name.Name)
	case errors.As(err, &name):
		return fmt.Sprintf("is not found: no DNS server answers about %s", name.Name)
	case errors.As(err, &unknown):
		return "has a certificate of an authority that is not trusted"
	case errors.As(err, &wrongName):
		return "has a certificate for other names"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "has a certificate that has expired or is not valid yet"
	case errors.As(err, &invalid):
		return "has a certificate that is not valid for a server"
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return "does not speak TLS: the address may have to begin with ws://"
	case errors.As(err, &alert):
		return "ends the TLS handshake: " + alert.Error()
	case errors.Is(err, errSilent):
		return "is silent: it answered no ping"
	case errors.As(err, &closed):
		return fmt.Sprintf("has closed the tunnel (%d)", closed.Code)
	case errors.Is(err, unix.ECONNREFUSED):
		return "refuses connections: nothing listens there"
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return "cannot be reached: there is no route to it"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "has cut the connection"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return "does not answer: a firewall may drop what is sent to it"
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return "was left: the tunnel ends"
	}
	return "failed: " + innermost(err).Error()
}

// innermost cause of an error, whose words are about one thing.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
