package clusterpeer

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// Proxy is an HTTP proxy that knows CONNECT only.
type Proxy struct {
	// User and Password are asked for, unless User is empty.
	User, Password string

	connected atomic.Int64
}

// Connected is how many connections it has made.
func (p *Proxy) Connected() int { return int(p.connected.Load()) }

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	asked := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	if user, password, _ := asked.BasicAuth(); p.User != "" && (user != p.User || password != p.Password) {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	far, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	p.connected.Add(1)
	if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(far, near) // either end may go first
		far.Close()
	}()
	_, _ = io.Copy(near, far) // likewise
	near.Close()
	<-ended
}
