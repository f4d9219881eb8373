package clusterpeer

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a wstunnel server. The zero value with a prefix serves.
type Server struct {
	// Prefix is the first part of the path of requests that are served.
	Prefix string
	// Allow says which addresses tunnels may lead to; nil allows all.
	Allow func(kind, address string) bool

	mute    atomic.Bool
	refusal atomic.Int64
	seen    atomic.Int64

	mu       sync.Mutex
	listener net.Listener
	http     *http.Server
	serving  sync.WaitGroup
	open     map[net.Conn]bool
	ports    map[string]*port
}

// Mute has the server answer no ping, and send nothing more on tunnels that are open.
func (s *Server) Mute(on bool) { s.mute.Store(on) }

// Refuse answers each request with a status, as an Ingress without a server does; 0 ends
// that.
func (s *Server) Refuse(status int) { s.refusal.Store(int64(status)) }

// Requests so far, refused ones included.
func (s *Server) Requests() int { return int(s.seen.Load()) }

// Tunnels that are open, without requests that wait.
func (s *Server) Tunnels() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Waiting requests at a reverse port HOST:PORT.
func (s *Server) Waiting(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.ports[address]; p != nil {
		return p.waiting
	}
	return 0
}

// Start listens at an address, with TLS if there is a configuration. It may be called
// again after Stop.
func (s *Server) Start(address string, config *tls.Config) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second}
	s.mu.Lock()
	s.listener, s.http = listener, server
	s.mu.Unlock()
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"http/1.1"}
		listener = tls.NewListener(listener, config)
	}
	s.serving.Go(func() { _ = server.Serve(listener) }) // it ends with Stop
	return nil
}

// Address that it listens at.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.Addr().String()
}

// Stop closes the server and cuts all that is open.
func (s *Server) Stop() {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server != nil {
		server.Close()
	}
	s.Cut()
	s.serving.Wait()
}

// Cut ends the connections of all open tunnels without a word, and closes the reverse
// ports.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		if bare, ok := conn.(*net.TCPConn); ok {
			_ = bare.SetLinger(0)
		}
		conn.Close()
	}
	for address, p := range s.ports {
		p.close()
		delete(s.ports, address)
	}
}

// token is what a request asks for.
type token struct {
	ID         string          `json:"id"`
	Protocol   json.RawMessage `json:"p"`
	Remote     string          `json:"r"`
	RemotePort int             `json:"rp"`
}

// readToken reads what the middle part of a token says. As the real server, it does not
// look at the signature.
func readToken(protocols string) (token, error) {
	var out token
	_, text, found := strings.Cut(protocols, "authorization.bearer.")
	parts := strings.Split(strings.TrimSpace(text), ".")
	if !found || len(parts) != 3 {
		return out, errors.New("no token")
	}
	var head struct {
		Alg, Typ string
	}
	for i, into := range []any{&head, &out} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return out, err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return out, err
		}
	}
	if head.Alg != "HS256" || len(out.ID) != 36 || out.Remote == "" || out.RemotePort < 1 || out.RemotePort > 65535 {
		return out, fmt.Errorf("odd token: %+v %+v", head, out)
	}
	return out, nil
}

// kind of a tunnel, and how long one for datagrams may be idle; 0 is for ever.
func (t token) kind() (string, time.Duration, error) {
	var name string
	if json.Unmarshal(t.Protocol, &name) == nil {
		return name, 0, nil
	}
	var variants map[string]struct {
		Timeout *struct {
			Secs  int64 `json:"secs"`
			Nanos int64 `json:"nanos"`
		} `json:"timeout"`
		ProxyProtocol *bool `json:"proxy_protocol"`
	}
	if err := json.Unmarshal(t.Protocol, &variants); err != nil || len(variants) != 1 {
		return "", 0, fmt.Errorf("odd protocol %s", t.Protocol)
	}
	var idle time.Duration
	for key, fields := range variants {
		name = key
		if fields.Timeout != nil {
			idle = time.Duration(fields.Timeout.Secs)*time.Second + time.Duration(fields.Timeout.Nanos)
		}
		if name == "Tcp" && fields.ProxyProtocol == nil {
			return "", 0, errors.New("a Tcp without proxy_protocol")
		}
	}
	return name, idle, nil
}

func (t token) address() string {
	return net.JoinHostPort(strings.Trim(t.Remote, "[]"), strconv.Itoa(t.RemotePort))
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.seen.Add(1)
	if status := int(s.refusal.Load()); status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	if err := s.serve(w, r); err != nil {
		http.Error(w, "Invalid request", http.StatusBadRequest)
	}
}

// serve fails before the request is answered, or not at all.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Path != "/"+s.Prefix+"/events" || r.Method != http.MethodGet || r.ProtoMajor != 1 {
		return errors.New("not for us")
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") ||
		r.Header.Get("Sec-WebSocket-Version") != "13" {
		return errors.New("no websocket")
	}
	if key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key")); err != nil || len(key) != 16 {
		return errors.New("no key")
	}
	protocols := r.Header.Get("Sec-WebSocket-Protocol")
	if first, _, _ := strings.Cut(protocols, ","); first != "v1" {
		return errors.New("another version")
	}
	asked, err := readToken(protocols)
	if err != nil {
		return err
	}
	kind, idle, err := asked.kind()
	if err != nil {
		return err
	}
	address := asked.address()
	if s.Allow != nil && !s.Allow(kind, address) {
		return errors.New("not allowed")
	}
	var dialer net.Dialer
	switch kind {
	case "Udp", "Tcp":
		far, err := dialer.DialContext(r.Context(), strings.ToLower(kind), address)
		if err != nil {
			return err
		}
		s.tunnel(w, r, far, kind == "Udp", idle)
	case "ReverseTcp":
		far, err := s.await(r.Context(), address)
		if err != nil {
			return err
		}
		s.tunnel(w, r, far, false, 0)
	default:
		return errors.New("not offered here")
	}
	return nil
}

// upgrade answers with 101 and takes the connection over.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (*socket, error) {
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{}) // the server's own ended with the header
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"+
		"sec-websocket-accept: %s\r\nsec-websocket-protocol: v1\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	return &socket{conn: conn, in: bufio.NewReaderSize(both.Reader, 64<<10)}, err
}

// await returns the next connection to a reverse port.
func (s *Server) await(ctx context.Context, address string) (net.Conn, error) {
	s.mu.Lock()
	if s.ports == nil {
		s.ports = map[string]*port{}
	}
	p := s.ports[address]
	if p == nil {
		var err error
		if p, err = listenAt(address); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.ports[address] = p
	}
	p.waiting++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		p.waiting--
		s.mu.Unlock()
	}()
	select {
	case conn, open := <-p.accepted:
		if !open {
			return nil, net.ErrClosed
		}
		return conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// port is a listener for clients that wait. It stays open while the server runs.
type port struct {
	listener net.Listener
	accepted chan net.Conn
	over     chan struct{}
	// waiting is guarded by the server's mutex.
	waiting int
}

func listenAt(address string) (*port, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &port{listener: listener, accepted: make(chan net.Conn), over: make(chan struct{})}
	go func() { // ends with close
		defer close(p.accepted)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case p.accepted <- conn:
			case <-p.over:
				conn.Close()
				return
			}
		}
	}()
	return p, nil
}

func (p *port) close() {
	close(p.over)
	p.listener.Close()
}
