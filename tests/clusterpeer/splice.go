package clusterpeer

import (
	"net"
	"net/http"
	"time"
)

// tunnel answers a request and copies both ways between its websocket and far.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request, far net.Conn, datagrams bool, idle time.Duration) {
	defer far.Close()
	ws, err := s.upgrade(w, r)
	if err != nil {
		if ws != nil {
			ws.conn.Close()
		}
		return
	}
	s.track(ws.conn, true)
	defer s.track(ws.conn, false)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.outward(ws, far, datagrams, idle)
	}()
	s.inward(ws, far)
	far.Close()
	<-ended
	ws.conn.Close()
}

func (s *Server) track(conn net.Conn, open bool) {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[net.Conn]bool{}
	}
	if open {
		s.open[conn] = true
	} else {
		delete(s.open, conn)
	}
}

// inward copies from the client until the tunnel ends.
func (s *Server) inward(ws *socket, far net.Conn) {
	for {
		op, payload, err := ws.read()
		if err != nil {
			return
		}
		switch op {
		case opContinuation, opText, opBinary:
			if _, err := far.Write(payload); err != nil && !isRefused(err) {
				return
			}
		case opPing:
			if !s.mute.Load() {
				_ = ws.write(opPong, payload) // the next read fails
			}
		case opClose:
			_ = ws.write(opClose, payload[:min(len(payload), 2)])
			return
		}
	}
}

// outward copies to the client until far ends.
func (s *Server) outward(ws *socket, far net.Conn, datagrams bool, idle time.Duration) {
	buffer := make([]byte, 64<<10)
	for {
		if idle > 0 {
			_ = far.SetReadDeadline(time.Now().Add(idle))
		}
		n, err := far.Read(buffer)
		if datagrams && isRefused(err) {
			continue // nothing listens at the far address for now
		}
		if err != nil {
			break
		}
		if s.mute.Load() {
			continue
		}
		if err := ws.write(opBinary, buffer[:n]); err != nil {
			break
		}
	}
	ws.close()
}
