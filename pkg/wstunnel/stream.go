package wstunnel

import (
	"bufio"
	"net"
	"sync"
)

// stream is a connection below a websocket. While it is corked, what is written is
// gathered, so that a batch of messages is one call to the kernel, and one record of TLS
// holds several of them.
type stream struct {
	net.Conn
	in *bufio.Reader

	// mu orders writers; one that waits for the network has to hold up the others.
	mu     sync.Mutex
	corks  int
	out    []byte
	failed error
}

// mostCorked bytes are gathered at most.
const mostCorked = 64 << 10

func (s *stream) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return 0, s.failed
	}
	if s.corks == 0 {
		return s.Conn.Write(p)
	}
	if len(s.out)+len(p) > mostCorked {
		if err := s.flush(); err != nil {
			return 0, err
		}
		if len(p) > mostCorked {
			return s.Conn.Write(p)
		}
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

// cork gathers what is written until uncork.
func (s *stream) cork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corks++
}

// uncork writes what was gathered. Its error is that of any write since cork.
func (s *stream) uncork() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corks--
	if s.corks > 0 {
		return s.failed
	}
	return s.flush()
}

// flush is called with mu held.
func (s *stream) flush() error {
	if s.failed == nil && len(s.out) > 0 {
		_, s.failed = s.Conn.Write(s.out)
	}
	s.out = s.out[:0]
	return s.failed
}
