package wstunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

// secured starts a server with a certificate.
func secured(t *testing.T, cert *certificates.Issued) *clusterpeer.Server {
	t.Helper()
	s := &clusterpeer.Server{Prefix: secret}
	if err := s.Start("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert.Pair()}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func TestTLS(t *testing.T) {
	ca := certificates.New(t, "ca.test", nil)
	s := secured(t, certificates.New(t, "server.test", ca))
	_, udp := echo(t)
	for name, config := range map[string]Config{
		"an authority of our own": {CAs: ca.PEM()},
		"unchecked":               {Insecure: true},
	} {
		t.Run(name, func(t *testing.T) {
			config.Server = "wss://" + s.Address()
			exchange(t, newDatagrams(t, newClient(t, config), udp), name)
		})
	}
}

// newProxy starts an HTTP proxy that asks for credentials.
func newProxy(t *testing.T) (*clusterpeer.Proxy, string) {
	t.Helper()
	proxy := &clusterpeer.Proxy{User: "u", Password: "p/w"}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return proxy, strings.TrimPrefix(server.URL, "http://")
}

func TestProxy(t *testing.T) {
	ca := certificates.New(t, "ca.test", nil)
	proxy, through := newProxy(t)
	plain, closed := newServer(t), secured(t, certificates.New(t, "server.test", ca))
	_, udp := echo(t)
	for i, config := range []Config{{Server: "ws://" + plain.Address()}, {Server: "wss://" + closed.Address(), CAs: ca.PEM()}} {
		config.Proxy = "http://u:p%2Fw@" + through
		exchange(t, newDatagrams(t, newClient(t, config), udp), config.Server)
		if got := proxy.Connected(); got != i+1 {
			t.Errorf("the proxy connected %d times", got)
		}
	}
}

// TestProxyByTLS: its certificate is checked even where the server's is not.
func TestProxyByTLS(t *testing.T) {
	ca := certificates.New(t, "ca.test", nil)
	pair := certificates.New(t, "proxy.test", ca).Pair()
	server := httptest.NewUnstartedServer(&clusterpeer.Proxy{})
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	server.StartTLS()
	t.Cleanup(server.Close)
	s := secured(t, certificates.New(t, "server.test", certificates.New(t, "other.test", nil)))
	_, udp := echo(t)
	config := Config{Server: "wss://" + s.Address(), Insecure: true, Proxy: server.URL}
	_, err := newClient(t, config).open(t.Context(), request{what: purposeUDP, address: udp})
	if err == nil || !strings.Contains(err.Error(), "the proxy "+server.Listener.Addr().String()+" has a certificate of an authority that is not trusted") {
		t.Errorf("error %v", err)
	}
	config.CAs = ca.PEM()
	exchange(t, newDatagrams(t, newClient(t, config), udp), "by both")
}

// answering is a server that answers each request with a status.
func answering(t *testing.T, status int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://elsewhere.test/")
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// closedPort is an address at which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestErrorsInWords: each kind of failure says what it is, and none holds the secret.
func TestErrorsInWords(t *testing.T) {
	ca, other := certificates.New(t, "ca.test", nil), certificates.New(t, "other.test", nil)
	plain, closed := newServer(t), secured(t, certificates.New(t, "server.test", ca))
	guarded := &clusterpeer.Server{Prefix: secret, Allow: func(kind, _ string) bool { return kind != "Udp" }}
	if err := guarded.Start("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guarded.Stop)
	_, through := newProxy(t)
	for name, c := range map[string]struct {
		config Config
		words  string
	}{
		"no such name":          {Config{Server: "ws://nowhere.invalid:80"}, "server nowhere.invalid:80 is not found"},
		"nothing listens":       {Config{Server: "ws://" + closedPort(t)}, "refuses connections"},
		"bad prefix":            {Config{Server: "ws://" + plain.Address(), PathPrefix: "wrong"}, "(400): the path prefix is not"},
		"forbidden address":     {Config{Server: "ws://" + guarded.Address()}, "does not allow this address"},
		"no rule":               {Config{Server: "ws://" + answering(t, 404)}, "404: the Ingress has no rule"},
		"no server behind":      {Config{Server: "ws://" + answering(t, 503)}, "503: the Ingress reaches no running"},
		"gave up":               {Config{Server: "ws://" + answering(t, 504)}, "gave up waiting"},
		"redirection":           {Config{Server: "ws://" + answering(t, 308)}, "begin with wss://"},
		"another web server":    {Config{Server: "ws://" + answering(t, 200)}, "no wstunnel server is at this address"},
		"asks who we are":       {Config{Server: "ws://" + answering(t, 401)}, "asks for credentials"},
		"odd status":            {Config{Server: "ws://" + answering(t, 418)}, "answers 418"},
		"untrusted authority":   {Config{Server: "wss://" + closed.Address()}, "authority that is not trusted"},
		"another authority":     {Config{Server: "wss://" + closed.Address(), CAs: other.PEM()}, "authority that is not trusted"},
		"another name":          {Config{Server: "wss://" + strings.Replace(closed.Address(), "127.0.0.1", "localhost", 1), CAs: ca.PEM()}, "certificate for other names"},
		"no TLS":                {Config{Server: "wss://" + plain.Address()}, "does not speak TLS"},
		"proxy away":            {Config{Server: "ws://" + plain.Address(), Proxy: "http://" + closedPort(t)}, "the proxy 127.0.0.1"},
		"proxy wants a user":    {Config{Server: "ws://" + plain.Address(), Proxy: "http://" + through}, "asks for a user name and a password"},
		"proxy finds no server": {Config{Server: "ws://" + closedPort(t), Proxy: "http://u:p%2Fw@" + through}, "cannot reach 127.0.0.1"},
		"not behind the proxy":  {Config{Server: "ws://" + plain.Address(), PathPrefix: "wrong", Proxy: "http://u:p%2Fw@" + through}, "the tunnel's server 127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, c.config)
			_, err := client.open(t.Context(), request{what: purposeUDP, address: "127.0.0.1:9"})
			var inWords *Error
			if !errors.As(err, &inWords) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("error %v, want one with %q", err, c.words)
			}
			if err != nil && (strings.Contains(err.Error(), client.config.PathPrefix) || strings.Contains(err.Error(), "p%2Fw")) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := newClient(t, Config{Server: "ws://" + listener.Addr().String()})
	for _, patient := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			_, err := c.open(ctx, request{what: purposeReverse, address: "0.0.0.0:80", patient: patient, sent: func(time.Duration) { close(asked) }})
			ended <- err
		}()
		<-asked
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		case <-time.After(within):
			t.Fatal("it goes on")
		}
	}
}

// TestPortIsNotOpen while the server, or the Ingress before it, refuses.
func TestPortIsNotOpen(t *testing.T) {
	s := newServer(t)
	s.Refuse(http.StatusServiceUnavailable)
	tcp, _ := echo(t)
	p, err := newClient(t, Config{Server: "ws://" + s.Address()}).Reverse(closedPort(t), tcp, nil)
	if err != nil {
		t.Fatal(err)
	}
	running(t, p.Run)
	waitFor(t, "it was refused twice", func() bool { return s.Requests() >= 2 })
	if status := p.Status(); status.Connected || status.Connections > 0 || status.Err == nil {
		t.Errorf("the status is %+v", status)
	}
	s.Refuse(0)
	waitFor(t, "it is open", func() bool { return p.Status().Connected })
}

func TestBadConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		words  string
	}{
		"scheme":    {Config{Server: "http://h:1", PathPrefix: "s"}, `scheme "http"`},
		"no host":   {Config{Server: "ws://:1", PathPrefix: "s"}, "no host"},
		"port":      {Config{Server: "ws://h:0", PathPrefix: "s"}, "no port"},
		"large":     {Config{Server: "ws://h:65536", PathPrefix: "s"}, "no port"},
		"path":      {Config{Server: "ws://h:1/x", PathPrefix: "s"}, "more than a host"},
		"no URL":    {Config{Server: "ws://h\x00:1", PathPrefix: "s"}, "no URL"},
		"no prefix": {Config{Server: "ws://h:1"}, "path prefix"},
		"newline":   {Config{Server: "ws://h:1", PathPrefix: "a\r\nb"}, "path prefix"},
		"query":     {Config{Server: "ws://h:1", PathPrefix: "a?b"}, "path prefix"},
		"way up":    {Config{Server: "ws://h:1", PathPrefix: "a/../b"}, "path prefix"},
		"CAs":       {Config{Server: "ws://h:1", PathPrefix: "s", CAs: "none"}, "no certificate"},
		"proxy":     {Config{Server: "ws://h:1", PathPrefix: "s", Proxy: "socks5://u:hidden@h"}, `the proxy: the scheme "socks5"`},
	} {
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q", name, err, c.words)
		}
	}
	client := newClient(t, Config{Server: "ws://h"})
	for _, address := range []string{"", "h", "h:0", ":1", "h:x", "h:65536"} {
		if _, err := client.Datagrams(address, 1, nil); err == nil {
			t.Errorf("the address %q was taken", address)
		}
		if _, err := client.Reverse(address, "localhost:1", nil); err == nil {
			t.Errorf("the port %q was taken", address)
		}
	}
}
