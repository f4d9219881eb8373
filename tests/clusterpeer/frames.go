// Package clusterpeer is what a pod that joins a cluster's network meets there, for
// tests: a wstunnel server written from the description of its wire, with faults on
// request, and a cluster in a network namespace of its own. It shares no code with the
// client that it tests.
package clusterpeer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// mostPayload of a frame that is read, in bytes.
const mostPayload = 64 << 20

// socket is the server's side of a websocket. One goroutine reads.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
	// payload is used for each frame anew.
	payload []byte

	mu sync.Mutex
	// head has room for a header before each frame that is written.
	out []byte
}

// read returns the next frame. Its payload is good until the next call.
func (s *socket) read() (op byte, payload []byte, err error) {
	var head [14]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return 0, nil, err
	}
	op, masked, length := head[0]&0xF, head[1]&0x80 != 0, uint64(head[1]&0x7F)
	if head[0]&0x70 != 0 {
		return 0, nil, errors.New("a reserved bit is set")
	}
	switch length {
	case 126:
		if _, err := io.ReadFull(s.in, head[2:4]); err != nil {
			return 0, nil, err
		}
		length = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		if _, err := io.ReadFull(s.in, head[2:10]); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(head[2:10])
	}
	if length > mostPayload || op >= opClose && length > 125 {
		return 0, nil, fmt.Errorf("a frame of %d bytes is too long", length)
	}
	var key [4]byte
	if masked {
		if _, err := io.ReadFull(s.in, key[:]); err != nil {
			return 0, nil, err
		}
	}
	if uint64(cap(s.payload)) < length {
		s.payload = make([]byte, length)
	}
	payload = s.payload[:length]
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return 0, nil, err
	}
	if masked {
		unmask(payload, key)
	}
	return op, payload, nil
}

func unmask(p []byte, key [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^word)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= key[i%4]
	}
}

// write sends one frame, unmasked as the real server's are.
func (s *socket) write(op byte, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = appendFrame(s.out[:0], op, payload)
	_, err := s.conn.Write(s.out)
	return err
}

func appendFrame(out []byte, op byte, payload []byte) []byte {
	out = append(out, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		out = append(out, byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
	}
	return append(out, payload...)
}

// close ends the tunnel well.
func (s *socket) close() {
	_ = s.write(opClose, []byte{0x03, 0xE8}) // 1000; the other end may be gone
	s.conn.Close()
}
